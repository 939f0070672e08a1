//! The program of a shell, as the sandbox runs it.

use innkeep_protocol::shell::{Exit, Size};
use innkeep_sandbox::exec::{ExecExit, ExecProcess, ExecProgram, ExecSpec, TerminalSize};

use super::asked::Asked;
use super::shell::Program;

/// What programs are told of the terminal. Source: what every client of today can show.
const TERM: &str = "xterm-256color";

/// Returns what is run for who asks.
pub(crate) fn spec(asked: &Asked) -> ExecSpec {
    let (program, arguments) = match asked.command.split_first() {
        Some((name, arguments)) => (ExecProgram::Named(name.clone()), arguments.to_vec()),
        None => (ExecProgram::Shell, Vec::new()),
    };
    ExecSpec {
        program,
        arguments,
        environment: [("TERM".to_owned(), TERM.to_owned())].into(),
        terminal: Some(terminal_size(asked.size)),
    }
}

fn terminal_size(Size { width, height }: Size) -> TerminalSize {
    TerminalSize { rows: height, columns: width }
}

impl Program for ExecProcess {
    fn resize(&self, size: Size) {
        self.resize(terminal_size(size));
    }

    fn kill(&self) {
        self.kill();
    }

    async fn wait(&mut self) -> Option<Exit> {
        match ExecProcess::wait(self).await {
            ExecExit::Exited(code) => Some(Exit::Code(code)),
            ExecExit::Signalled(signal) => Some(Exit::Signal(signal)),
            ExecExit::SandboxGone => None,
        }
    }
}
