//! Arguments and environment, which kernels of interface 1 ask for by themselves.

use crate::hypercall::arguments::Arguments;
use crate::hypercall::fault::HypercallFault;

/// MAX_ARGC_ENVC: so many of each have room.
const MAX_WORDS: usize = 128;

/// The kernel's own options, each with a value.
const OPTIONS: [&str; 5] = ["-freq", "-ip", "-mask", "-gateway", "-mount"];

/// What the command line tells an application.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramArgs {
    args: Vec<String>,
    /// Each `NAME=VALUE`.
    env: Vec<String>,
}

impl ProgramArgs {
    /// Bytes of `CmdsizeParams`: two counts, each with so many lengths.
    pub(super) const SIZES: u64 = 2 * (4 + 4 * MAX_WORDS as u64);

    /// Splits `NAME env=NAME=VALUE… -- ARGS`, as newer kernels do by themselves: the first
    /// word is the program's name, and what else stands before `--` is for the kernel. Without
    /// `--` it is the application's.
    pub(super) fn of(cmdline: &str) -> ProgramArgs {
        let words = split(cmdline);
        let separator = words.iter().position(|word| word == "--");
        let (kernel, application) = match separator {
            Some(at) => (&words[..at], &words[at + 1..]),
            None => (&words[..], &[][..]),
        };
        let (mut name, mut args, mut env) = (None, Vec::new(), Vec::new());
        let mut kernel = kernel.iter();
        while let Some(word) = kernel.next() {
            match word.strip_prefix("env=") {
                Some(variable) => env.push(variable.to_owned()),
                None if separator.is_some() && OPTIONS.contains(&word.as_str()) => {
                    kernel.next();
                }
                None if name.is_none() && !word.starts_with('-') => name = Some(word.clone()),
                None if separator.is_none() => args.push(word.clone()),
                None => {}
            }
        }
        args.insert(0, name.unwrap_or_else(|| "kernel".to_owned()));
        args.extend_from_slice(application);
        ProgramArgs { args, env }
    }

    /// Writes `CmdsizeParams`: how many there are of each, and their lengths with the zero
    /// byte.
    pub(super) fn put_sizes(&self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        let mut at = 0;
        for words in [&self.args, &self.env] {
            let (count, max) = (words.len(), MAX_WORDS);
            if count > max {
                return Err(HypercallFault::TooManyArgs { count, max });
            }
            args.put_int(at, int(count))?;
            for (i, word) in (1..).zip(words) {
                // A command line is of some KiB.
                args.put_int(at + 4 * i, int(word.len() + 1))?;
            }
            at += ProgramArgs::SIZES / 2;
        }
        Ok(())
    }

    /// Writes each word to where `CmdvalParams` says: it has the addresses of two lists of
    /// addresses.
    pub(super) fn put_values(&self, args: &Arguments<'_>) -> Result<(), HypercallFault> {
        for (words, list) in [(&self.args, args.word(0)?), (&self.env, args.word(8)?)] {
            let size = 8 * words.len() as u64;
            if size == 0 {
                continue;
            }
            let list = args.buffer(list, size)?.to_vec()?;
            let (addresses, _) = list.as_chunks();
            for (word, address) in words.iter().zip(addresses) {
                let text = [word.as_bytes(), &[0]].concat();
                let place = args.buffer(u64::from_le_bytes(*address), text.len() as u64)?;
                place.put(&text)?;
            }
        }
        Ok(())
    }
}

/// A count that a command line of some KiB can have.
fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The words of a line, by the rules of POSIX's shell for quotes and backslashes; newer
/// kernels split their command line so themselves.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\\') => word.get_or_insert_default().extend(rest.next()),
            (Some('"'), '\\') => match rest.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.get_or_insert_default().push(c),
                other => word
                    .get_or_insert_default()
                    .extend(['\\'].into_iter().chain(other)),
            },
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
        words.map(str::to_owned).to_vec()
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        let line = r#"a  'b c' "d\"e\x" f\ g '' h"i"'j'"#;
        let words = ["a", "b c", r#"d"e\x"#, "f g", "", "hij"];
        assert_eq!(split(line), words);
        assert_eq!(split(" "), [""; 0]);
        assert_eq!(split("'open"), ["open"]);
    }

    #[test]
    fn variables_and_arguments_are_told_apart() {
        let program = ProgramArgs::of("-freq 100 app env=A=1 'env=B=x y' more -- -v env=C=2");
        assert_eq!(program.args, strings(["app", "-v", "env=C=2"]));
        assert_eq!(program.env, strings(["A=1", "B=x y"]));
        assert_eq!(
            ProgramArgs::of("a env=A=1 -b c").args,
            strings(["a", "-b", "c"])
        );
        assert_eq!(ProgramArgs::of("").args, strings(["kernel"]));
    }
}
