//! The vigil over a supervisor: whether it still answers, and its agent's limits while it does not.
//!
//! ```text
//! answers ── held (/proc says T or t), or five questions without an answer ──> silent ── an answer ──> answers
//!                                                                                └── a limit is over ──> Over
//! ```
//!
//! A supervisor that was stopped is woken, three times: who stops it again means it. One that only is slow is not called
//! silent before five of its two-second budgets have gone by in a row, which are counted and not read off a clock: the
//! sleep of a laptop, or a server that was itself held up, is one question at most.
//!
//! A look reads a line of `/proc` and wakes nobody. A question wakes the supervisor, so one that has answered is asked again
//! after half a minute only; one that has left a question open, or was held, at each look. All vigils look at the same
//! moments: the service wakes once for all of them.
//!
//! It tells what it sees ([`News`]) and changes nothing but that waking; what is done about it is the caller's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::control::Unanswered;
use super::limits::LimitWatch;
use super::records::{Launch, Record};
use super::supervised::Supervised;
use crate::run::{EndedBy, Silence};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Looks between two questions to one that answers.
const LOOKS_A_QUESTION: u32 = 15;
/// How often in a row it may leave a question open.
const PATIENCE: u32 = 5;
/// How often it is woken.
const WAKES: u32 = 3;
/// What a supervisor that does not answer, and may be ending its agent all the same, gets beyond a limit and the steps of
/// its stop.
const SLACK: Duration = Duration::from_secs(10);

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing is heard of it.
    Silent(Silence),
    /// It answers. Told at the first look too.
    Answers,
    /// It is silent, and its agent is over this limit.
    Over(EndedBy),
}

/// A watch over one supervisor, kept until this is dropped.
#[derive(Debug)]
pub struct Vigil {
    news: mpsc::Receiver<News>,
    watch: AbortHandle,
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Vigil {
    /// Watches over this supervisor. Must be called within a runtime.
    #[must_use]
    pub fn over(supervised: Supervised) -> Vigil {
        let (tell, news) = mpsc::channel(4);
        let watch = tokio::spawn(watch(supervised, tell)).abort_handle();
        Vigil { news, watch }
    }

    /// Waits for news. May be dropped and asked again.
    pub async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The watch ends with who hears of it, and with the runtime.
            None => std::future::pending().await,
        }
    }
}

async fn watch(supervised: Supervised, tell: mpsc::Sender<News>) {
    let mut first = true;
    let mut unasked = LOOKS_A_QUESTION;
    let mut judge = Judge::default();
    let mut limits = Limits::default();
    let mut wakes = 0;
    loop {
        if !std::mem::take(&mut first) {
            next_look().await;
        }
        unasked += 1;
        let held = supervised.held();
        let mut news = held.and_then(|why| judge.held(why));
        let awake = match held {
            Some(Silence::Stopped) if wakes < WAKES => {
                wakes += 1;
                supervised.wake();
                true
            }
            Some(_) => false,
            None => true,
        };
        // Told before the question, which may take its time.
        if let Some(news) = news.take()
            && tell.send(news).await.is_err()
        {
            return;
        }
        if held.is_some() {
            unasked = LOOKS_A_QUESTION;
        }
        if awake && unasked >= LOOKS_A_QUESTION {
            news = match supervised.status().await {
                Ok(status) => {
                    unasked = 0;
                    let at_work = Duration::from_millis(status.running_ms);
                    limits.begun = Instant::now().checked_sub(at_work);
                    judge.answered()
                }
                // It said something: a newer one may.
                Err(Unanswered::Nonsense(_)) => {
                    unasked = 0;
                    judge.answered()
                }
                Err(_) => judge.unanswered(),
            };
        }
        let over = match judge.silent {
            Some(_) => limits.look(&supervised, awake, Instant::now()),
            None => limits.leave_to_supervisor(),
        };
        for news in news.into_iter().chain(over.map(News::Over)) {
            if tell.send(news).await.is_err() {
                return;
            }
        }
    }
}

/// Waits for the next moment at which all vigils look.
async fn next_look() {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let gone = BEGUN.get_or_init(Instant::now).elapsed().as_nanos() % EVERY.as_nanos();
    let gone = u64::try_from(gone).map_or(Duration::ZERO, Duration::from_nanos);
    tokio::time::sleep(EVERY - gone).await;
}

/// What the looks come to. Pure.
#[derive(Debug, Default)]
struct Judge {
    /// What was told last; at first nothing was.
    told: bool,
    silent: Option<Silence>,
    open_questions: u32,
}

impl Judge {
    /// Somebody holds it: there is nothing to wait for.
    fn held(&mut self, why: Silence) -> Option<News> {
        self.tell(Some(why))
    }

    fn unanswered(&mut self) -> Option<News> {
        self.open_questions += 1;
        if self.open_questions < PATIENCE || self.silent.is_some() {
            return None;
        }
        self.tell(Some(Silence::Mute))
    }

    fn answered(&mut self) -> Option<News> {
        self.open_questions = 0;
        self.tell(None)
    }

    fn tell(&mut self, now: Option<Silence>) -> Option<News> {
        if self.told && self.silent == now {
            return None;
        }
        (self.told, self.silent) = (true, now);
        Some(now.map_or(News::Answers, News::Silent))
    }
}

/// The limits of the agent, held here while its supervisor is silent.
#[derive(Debug, Default)]
struct Limits {
    /// When the agent was started, once its supervisor has told for how long it has been at work.
    begun: Option<Instant>,
    watched: Option<Watched>,
    over: Option<(EndedBy, Instant)>,
}

#[derive(Debug)]
struct Watched {
    launch: Launch,
    watch: LimitWatch,
}

impl Limits {
    /// Which limit is to be acted on here, if one is. A supervisor that is awake may be acting on it already.
    fn look(&mut self, supervised: &Supervised, awake: bool, now: Instant) -> Option<EndedBy> {
        if self.watched.is_none() {
            self.watched = self.begin(supervised, now);
        }
        let watched = self.watched.as_mut()?;
        let length = std::fs::metadata(&watched.launch.output).map_or(0, |output| output.len());
        let size = length.saturating_sub(supervised.started().output_from);
        let by = watched.watch.look(size, now)?;
        let (by, since) = *self.over.get_or_insert((by, now));
        let slack = if awake {
            slack(&watched.launch)
        } else {
            Duration::ZERO
        };
        (now >= since + slack).then_some(by)
    }

    fn leave_to_supervisor(&mut self) -> Option<EndedBy> {
        (self.watched, self.over) = (None, None);
        None
    }

    fn begin(&self, supervised: &Supervised, now: Instant) -> Option<Watched> {
        let launch = Launch::load(supervised.dir()).ok().flatten()?;
        // Never heard since this server began: by its age, in which a sleep of the machine counts.
        let age = || supervised.started().agent.age().unwrap_or_default();
        let begun = self.begun.or_else(|| now.checked_sub(age()));
        let watch = LimitWatch::new(launch.limits, begun.unwrap_or(now), now);
        Some(Watched { launch, watch })
    }
}

/// What a supervisor that is awake needs to end its agent by itself.
fn slack(launch: &Launch) -> Duration {
    let steps = launch.stop.iter().map(|step| step.grace_ms);
    SLACK + Duration::from_millis(steps.fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_held_is_silent_at_once_and_until_it_answers() {
        let mut judge = Judge::default();
        assert_eq!(judge.answered(), Some(News::Answers));
        assert_eq!(
            judge.held(Silence::Stopped),
            Some(News::Silent(Silence::Stopped))
        );
        assert_eq!(judge.held(Silence::Stopped), None);
        assert_eq!(judge.answered(), Some(News::Answers));
        assert_eq!(judge.answered(), None);
    }

    #[test]
    fn one_that_is_slow_is_not_silent_before_its_fifth_open_question_in_a_row() {
        let mut judge = Judge::default();
        for _ in 1..PATIENCE {
            assert_eq!(judge.unanswered(), None);
        }
        judge.answered();
        for _ in 1..PATIENCE {
            assert_eq!(judge.unanswered(), None);
        }
        assert_eq!(judge.unanswered(), Some(News::Silent(Silence::Mute)));
        assert_eq!(judge.unanswered(), None);
    }

    #[test]
    fn why_it_is_silent_is_told_when_it_changes() {
        let mut judge = Judge::default();
        judge.held(Silence::Traced);
        assert_eq!(judge.unanswered(), None);
        assert_eq!(
            judge.held(Silence::Stopped),
            Some(News::Silent(Silence::Stopped))
        );
    }
}
