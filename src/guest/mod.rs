//! What a guest wants to be told, and how.

/// The guest's command line: the annotation's as it is, or else the
/// container's arguments.
///
/// An argument that holds white space or is empty is put in double quotes, as
/// the kernels that split their own command line expect.
pub fn command_line(annotation: Option<&str>, args: &[String]) -> String {
    match annotation {
        Some(text) => text.to_owned(),
        None => args
            .iter()
            .map(|arg| quoted(arg))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn quoted(arg: &str) -> String {
    if arg.is_empty() || arg.contains(char::is_whitespace) {
        format!("\"{arg}\"")
    } else {
        arg.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_they_must_be() {
        let args = ["app", "a b", "", "x=1"].map(String::from);
        assert_eq!(command_line(None, &args), r#"app "a b" "" x=1"#);
        assert_eq!(command_line(Some("as it is"), &args), "as it is");
    }
}
