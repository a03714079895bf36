//! Waiting for conditions of other processes, which can only be asked again and again.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long a condition that concerns the control plane may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is something; `None` once `limit` is over.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // An answer that hangs is as good as none.
        if let Ok(Some(answer)) = tokio::time::timeout(left, ask()).await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_condition_that_never_holds_is_given_up() {
        assert_eq!(until(SHORT, || async { None::<()> }).await, None);
    }

    #[tokio::test]
    async fn a_question_that_is_never_answered_is_given_up() {
        assert_eq!(until(SHORT, std::future::pending::<Option<()>>).await, None);
    }

    #[tokio::test]
    async fn the_first_answer_counts() {
        let mut asked = 0;
        let answer = until(Duration::from_secs(10), || {
            asked += 1;
            std::future::ready((asked == 3).then_some(asked))
        });
        assert_eq!(answer.await, Some(3));
    }
}
