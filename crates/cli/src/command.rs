//! A command beside an agent, without a terminal: its output goes where ours goes, and its exit status becomes ours.

use innkeep_sdk::{Client, CommandEvent, CommandRequest};
use serde_json::json;

use crate::failure::{Code, Failure};
use crate::output::{Output, human_duration};

/// Runs a command to its end.
pub(crate) async fn run(client: &Client, request: CommandRequest, out: Output) -> Result<(), Failure> {
    let (session, timeout) = (request.session.clone(), request.timeout);
    let mut running = client.run_command(request).await?;
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let code = loop {
        match running.next().await? {
            Some(CommandEvent::Started) => {}
            Some(CommandEvent::Stdout(text)) if out.json => stdout.push_str(&text),
            Some(CommandEvent::Stderr(text)) if out.json => stderr.push_str(&text),
            Some(CommandEvent::Stdout(text)) => out.bytes(text.as_bytes())?,
            Some(CommandEvent::Stderr(text)) => out.aside(text.as_bytes()),
            Some(CommandEvent::Exited(code)) => break code,
            Some(CommandEvent::TimedOut) => {
                let after = timeout.map(|timeout| format!(" after {}", human_duration(timeout))).unwrap_or_default();
                let failure = Failure::new(Code::TimedOut, format!("the command was killed{after}: its time was over"));
                return Err(failure.with_fix("give it more with --timeout, 1h at most"));
            }
            Some(CommandEvent::Failed(why)) => return Err(Failure::new(Code::AgentFailed, why)),
            None => return Err(Failure::new(Code::Unreachable, "the answer ended before the command did")),
        }
    };
    if out.json {
        let told = json!({"sessionId": session.as_str(), "exitCode": code, "stdout": stdout, "stderr": stderr});
        out.json(&told)?;
    }
    match code {
        0 => Ok(()),
        code => Err(Failure::new(Code::Program(u8::try_from(code).unwrap_or(u8::MAX)), "the command failed")),
    }
}

/// Returns the words of a command as a shell reads them: one is a line as it is, several are the program and its arguments.
pub(crate) fn line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_words_stay_what_they_are_and_one_is_a_line() {
        let line = |words: &[&str]| line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["ls | wc -l"]), "ls | wc -l");
        assert_eq!(line(&["ls", "-l", "/tmp"]), "ls -l /tmp");
        assert_eq!(line(&["echo", "a b", "it's", "$HOME", "", "*"]), r"echo 'a b' 'it'\''s' '$HOME' '' '*'");
        assert_eq!(line(&["A=1", "x"]), "'A=1' x");
    }
}
