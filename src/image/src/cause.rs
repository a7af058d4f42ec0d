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
