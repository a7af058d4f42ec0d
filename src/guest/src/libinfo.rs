//! Unikraft's metadata of its libraries, the section `.uk_libinfo`.
//!
//! Source: Unikraft 0.15 to 0.17, lib/uklibid/include/uk/libid/info.h.

/// A header's length and layout version, a record's type and length: none is aligned.
const HEADER: usize = 4 + 2;
const RECORD: usize = 2 + 4;

const LAYOUT: u16 = 1;
const LIBRARY_NAME: u16 = 1;
const RELEASE: u16 = 6;
const FULL_RELEASE: u16 = 7;

/// What of it is of use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LibInfo {
    pub libraries: Vec<String>,
    /// As in `0.16.3`.
    pub release: Option<String>,
}

impl LibInfo {
    /// Reads the section; what makes no sense ends it.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut info = Self::default();
        while let Some((header, rest)) = bytes.split_at_checked(HEADER) {
            let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let layout = u16::from_le_bytes([header[4], header[5]]);
            let Some((records, next)) = len
                .checked_sub(HEADER)
                .and_then(|len| rest.split_at_checked(len))
            else {
                break;
            };
            if layout == LAYOUT {
                info.read(records);
            }
            bytes = next;
        }
        info
    }

    fn read(&mut self, mut records: &[u8]) {
        while let Some((head, rest)) = records.split_at_checked(RECORD) {
            let kind = u16::from_le_bytes([head[0], head[1]]);
            let len = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
            let Some((text, next)) = len
                .checked_sub(RECORD)
                .and_then(|len| rest.split_at_checked(len))
            else {
                return;
            };
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text);
            match kind {
                LIBRARY_NAME => self.libraries.push(text.into_owned()),
                // The full one ends in `~` and a commit.
                RELEASE | FULL_RELEASE => {
                    let release: String = text.chars().take_while(is_release).take(32).collect();
                    self.release = Some(release).filter(|release| !release.is_empty());
                }
                _ => {}
            }
            records = next;
        }
    }
}

fn is_release(c: &char) -> bool {
    c.is_ascii_digit() || *c == '.'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u16, text: &[u8]) -> Vec<u8> {
        let len = (RECORD + text.len()) as u32;
        [&kind.to_le_bytes()[..], &len.to_le_bytes(), text].concat()
    }

    fn library(records: &[Vec<u8>]) -> Vec<u8> {
        let records = records.concat();
        let len = (HEADER + records.len()) as u32;
        [&len.to_le_bytes()[..], &LAYOUT.to_le_bytes(), &records].concat()
    }

    #[test]
    fn libraries_and_the_release_are_read() {
        let section = [
            library(&[record(LIBRARY_NAME, b"libnolibc\0"), record(11, b"GCC\0")]),
            library(&[record(FULL_RELEASE, b"0.16.3~e453b74\0"), record(8, b"T\0")]),
            library(&[record(LIBRARY_NAME, b"libposix_environ\0")]),
        ]
        .concat();
        let whole = LibInfo::parse(&section);
        assert_eq!(whole.libraries, ["libnolibc", "libposix_environ"]);
        assert_eq!(whole.release.as_deref(), Some("0.16.3"));
        for end in 0..section.len() {
            let part = LibInfo::parse(&section[..end]);
            assert!(whole.libraries.starts_with(&part.libraries), "{end}");
        }
    }

    #[test]
    fn lengths_that_make_no_sense_end_it() {
        for len in [0, 5, 1000, u32::MAX] {
            let mut section = library(&[record(LIBRARY_NAME, b"a\0")]);
            section[..4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(LibInfo::parse(&section), LibInfo::default(), "{len}");
            let mut section = library(&[record(LIBRARY_NAME, b"a\0")]);
            section[HEADER + 2..HEADER + 6].copy_from_slice(&len.to_le_bytes());
            assert_eq!(LibInfo::parse(&section), LibInfo::default(), "{len}");
        }
    }
}
