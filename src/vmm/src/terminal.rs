//! The container's own terminal on the guest's input is put into raw mode while the guest
//! runs: the guest sees every key at once, and Ctrl-C is the guest's.

use std::fs::File;

use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcgetsid, tcsetattr};
use rustix::termios::tcgetwinsize;

/// In characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// The size of a terminal; `None` for what is none.
pub(crate) fn size(terminal: &File) -> Option<Size> {
    let size = tcgetwinsize(terminal).ok()?;
    Some(Size {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

/// Puts the terminal back as it was when dropped.
#[derive(Debug)]
pub struct RawTerminal {
    terminal: File,
    before: Termios,
}

impl RawTerminal {
    /// Puts `input` into raw mode if it is this process's controlling terminal. `None`: it is
    /// not, or it cannot be.
    ///
    /// A terminal that is merely inherited is some shell's. It stays as it is: its Ctrl-C still
    /// ends what runs in its foreground, a detached guest does not disturb it, and a guest that
    /// is killed does not leave it raw.
    pub fn enter(input: &File) -> Option<RawTerminal> {
        // ENOTTY for what is no terminal, and for another session's (tty_ioctl(2), TIOCGSID).
        tcgetsid(input).ok()?;
        RawTerminal::make_raw(input)
    }

    /// Puts `terminal` into raw mode, whosever it is. `None`: it is none, or it cannot be.
    pub fn make_raw(terminal: &File) -> Option<RawTerminal> {
        let terminal = terminal.try_clone().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // Output stays as it is: a guest may send bare line feeds.
        let processed = before.output_flags & OutputFlags::OPOST;
        raw.output_flags |= processed;
        tcsetattr(&terminal, SetArg::TCSANOW, &raw).ok()?;
        Some(RawTerminal { terminal, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::{InputFlags, LocalFlags};

    #[test]
    fn a_terminal_is_raw_for_a_while_and_then_as_before() {
        let pty = openpty(None, None).unwrap();
        let input = File::from(pty.slave);
        let before = tcgetattr(&input).unwrap();
        let raw = RawTerminal::make_raw(&input).expect("a pty is a terminal");
        let during = tcgetattr(&input).unwrap();
        assert!(
            !during
                .local_flags
                .intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
        );
        assert!(!during.input_flags.contains(InputFlags::ICRNL));
        assert_eq!(during.output_flags, before.output_flags);
        drop(raw);
        let after = tcgetattr(&input).unwrap();
        assert_eq!(after.local_flags, before.local_flags);
        assert_eq!(after.input_flags, before.input_flags);
    }

    #[test]
    fn what_is_no_terminal_or_another_sessions_is_left_alone() {
        assert!(RawTerminal::enter(&tempfile::tempfile().unwrap()).is_none());
        let pty = openpty(None, None).unwrap();
        let input = File::from(pty.slave);
        let before = tcgetattr(&input).unwrap();
        assert!(RawTerminal::enter(&input).is_none());
        let after = tcgetattr(&input).unwrap();
        assert_eq!(after.local_flags, before.local_flags);
        assert_eq!(after.input_flags, before.input_flags);
    }
}
