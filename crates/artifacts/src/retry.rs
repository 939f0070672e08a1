//! Asking again what may fare better a little later: how often, and after which pauses. What may, those who ask know.

use std::time::Duration;

/// How often one thing is asked for, at most.
const ATTEMPTS: u32 = 4;

/// The pause before the second attempt; before each further one it is four times as long. Source: our choice.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The attempts at one thing that are left.
#[derive(Debug)]
pub(crate) struct Retry {
    left: u32,
    pause: Duration,
}

impl Retry {
    /// Begins, with the first attempt, with pauses from this one on.
    pub(crate) fn from(first_pause: Duration) -> Self {
        Self { left: ATTEMPTS - 1, pause: first_pause }
    }

    /// Waits for the next attempt; tells whether there is one.
    pub(crate) async fn again(&mut self) -> bool {
        self.again_after(None).await
    }

    /// The same after a pause that the other side asks for, if it does.
    pub(crate) async fn again_after(&mut self, asked_for: Option<Duration>) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        tokio::time::sleep(asked_for.unwrap_or(self.pause)).await;
        self.pause *= 4;
        true
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::from(FIRST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_and_attempts_end() {
        let mut retry = Retry::from(Duration::from_nanos(1));
        let mut pauses = Vec::new();
        while retry.again().await {
            pauses.push(retry.pause.as_nanos());
        }
        assert_eq!(pauses, [4, 16, 64]);
    }
}
