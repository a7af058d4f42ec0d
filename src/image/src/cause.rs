//! What another library says is wrong, kept as the source of an error.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::text::cut;

/// An error of another library's that is shared, and equal to another whose text is the same:
/// facts are copied and compared, and most libraries' errors can be neither.
///
/// Its text is the error's own, cut to one line.
#[derive(Debug, Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&cut(&self.0.to_string()))
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for Cause {}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::ImageError;

    #[test]
    fn a_cause_is_one_line_and_keeps_what_is_below_it() {
        let syntax = || serde_json::from_str::<u8>("\n x").unwrap_err();
        assert_eq!(Cause::new(syntax()), Cause::new(syntax()));
        let missing = Cause::new(io::Error::from(io::ErrorKind::NotFound));
        assert_ne!(missing, Cause::new(syntax()));

        let long = Cause::new(io::Error::other(format!("{}\n", "é".repeat(1000))));
        let text = long.to_string();
        assert_eq!(text.chars().count(), 161, "{text}");
        let nested = Cause::new(ImageError::read("x", io::Error::other(syntax())));
        let source = nested.source().expect("the cause of what was read");
        assert_eq!(source.to_string(), syntax().to_string());
    }
}
