//! This side's terminal while it shows another: nothing that is typed is looked at, echoed or turned into a signal here. It is as it was
//! again on every way out.

use std::io::{IsTerminal, stdin, stdout};
use std::sync::Arc;

use innkeep_protocol::shell::Size;
use parking_lot::Mutex;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::Failure;

/// A terminal in raw mode, until it is dropped.
pub(crate) struct Raw {
    before: Before,
}

/// How the terminal was; none once it is that again.
#[derive(Clone)]
struct Before(Arc<Mutex<Option<Termios>>>);

/// Fails where there is no terminal.
pub(crate) fn require() -> Result<(), Failure> {
    if stdin().is_terminal() && stdout().is_terminal() {
        return Ok(());
    }
    let failure = Failure::usage("-t needs a terminal, and standard input or output is none");
    Err(failure.with_fix("leave out -it to run a command without one"))
}

impl Raw {
    /// Makes the terminal raw.
    pub(crate) fn enter() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| Failure::io("cannot use this terminal", &error.into());
        let termios = tcgetattr(stdin()).map_err(failed)?;
        let before = Before(Arc::new(Mutex::new(Some(termios.clone()))));
        let of_panic = before.clone();
        let hook = std::panic::take_hook();
        // Or its words would run down the screen in steps.
        std::panic::set_hook(Box::new(move |panic| {
            of_panic.restore();
            hook(panic);
        }));
        let raw = Self { before };
        let mut termios = termios;
        termios.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &termios).map_err(failed)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.before.restore();
    }
}

impl Before {
    fn restore(&self) {
        if let Some(termios) = self.0.lock().take() {
            // It fails if the terminal is gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &termios);
        }
    }
}

/// Returns the terminal's size, if it has one.
pub(crate) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size { width: size.ws_col, height: size.ws_row })
}
