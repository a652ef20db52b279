//! The walk along one list: what is made once, each check in its turn, and the end of what was kept for later ones.

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::background::{self, Background};
use super::environment::{Environment, environment};
use super::folder::RoundFolder;
use super::foreground::{self, Command};
use super::judged::{Judged, judged};
use super::{Done, Order, Ordered};
use crate::dod::check::record::OnBase;
use crate::dod::check::verdict::{self, Verdict};
use crate::dod::check::{CheckRecord, CheckSpec, End};
use crate::process::Network;
use crate::run::{CommitId, TreeId};
use crate::runner::Context;
use crate::worktree;

/// Runs the list as [`run_list`](super::run_list) says.
pub(super) async fn walk(
    context: &Context,
    folder: &RoundFolder,
    order: &Order,
    stop: &CancellationToken,
    done: &mpsc::UnboundedSender<Done>,
) {
    let mut list = match List::open(context, folder, order, stop, done).await {
        Ok(list) => list,
        Err(error) => {
            let detail = format!("it could not be prepared: {error:#}");
            tracing::warn!(run = %order.run, round = %order.round, "no check can be run: {detail}");
            return none_ran(folder, order, stop, done, &detail);
        }
    };
    for ordered in &order.list {
        if stop.is_cancelled() {
            break;
        }
        list.check(ordered).await;
    }
    list.close().await;
}

/// Tells of each that it could not be run.
fn none_ran(
    folder: &RoundFolder,
    order: &Order,
    stop: &CancellationToken,
    done: &mpsc::UnboundedSender<Done>,
    detail: &str,
) {
    if stop.is_cancelled() {
        return;
    }
    for Ordered { item, spec, .. } in &order.list {
        let end = End::NotStarted {
            detail: detail.to_owned(),
        };
        let verdict = verdict::judge(spec, &end, None, &verdict::Report::NotAsked);
        let record = CheckRecord {
            key: String::new(),
            cmd: spec.cmd.clone(),
            end,
            failed: verdict.err(),
            duration_ms: 0,
            counts: None,
            environment: String::new(),
            tools: Default::default(),
            own_network: false,
            cached_from: None,
            on_base: None,
        };
        let log = folder.log(0);
        // Nobody wants to know any more.
        let _unheard = done.send(Done {
            item: *item,
            record,
            log,
        });
    }
}

/// A checkout with its network.
struct Site {
    checkout: PathBuf,
    network: Network,
    /// What `$PORT` is.
    port: u16,
}

struct List<'a> {
    context: &'a Context,
    folder: &'a RoundFolder,
    order: &'a Order,
    stop: &'a CancellationToken,
    done: &'a mpsc::UnboundedSender<Done>,
    tree: TreeId,
    environment: Environment,
    head: Site,
    /// Made when a check asks for it.
    base: Option<Site>,
    /// Those that go on for the later ones.
    kept: Vec<Background>,
    /// Commands so far.
    numbers: usize,
}

impl<'a> List<'a> {
    /// Makes what all checks share.
    async fn open(
        context: &'a Context,
        folder: &'a RoundFolder,
        order: &'a Order,
        stop: &'a CancellationToken,
        done: &'a mpsc::UnboundedSender<Done>,
    ) -> anyhow::Result<List<'a>> {
        folder.make()?;
        let tree = context.repository.tree_of(&order.commit).await?;
        let specs: Vec<&CheckSpec> = order.list.iter().map(|ordered| &ordered.spec).collect();
        let environment = environment(context, &order.commit, &specs).await?;
        let head = Site::make(context, folder.head(), &order.commit).await?;
        Ok(List {
            context,
            folder,
            order,
            stop,
            done,
            tree,
            environment: environment.in_network(head.network.is_own()),
            head,
            base: None,
            kept: Vec::new(),
            numbers: 0,
        })
    }

    /// Runs one check and tells of it, unless it goes on in the background or was stopped.
    async fn check(&mut self, ordered: &Ordered) {
        if ordered.spec.is_background() {
            return self.in_background(ordered).await;
        }
        let on_base = match ordered.spec.red_green {
            true => Some(self.on_base(&ordered.spec).await),
            false => None,
        };
        let number = self.next_number();
        let begun = Instant::now();
        let on_head = foreground::run(
            self.context,
            self.folder,
            self.command(number, &ordered.spec, &self.head),
            self.stop,
        )
        .await;
        let duration_ms = millis(begun);
        let log = match &on_base {
            Some((base_number, _)) => self.joined(*base_number, number).await,
            None => self.folder.log(number),
        };
        let on_base = on_base.map(|(_, judged)| judged);
        let verdict = match (&on_head.verdict, &on_base) {
            (Ok(()), Some(on_base)) => verdict::judge_red(&on_base.verdict),
            (verdict, _) => verdict.clone(),
        };
        self.tell(ordered, on_head, verdict, on_base, duration_ms, log);
    }

    /// Runs a check with `red_green` on the base, in a checkout and a network of its own; the number of its log.
    async fn on_base(&mut self, spec: &CheckSpec) -> (usize, Judged) {
        let number = self.next_number();
        if self.base.is_none() {
            let made = Site::make(self.context, self.folder.base(), &self.order.base).await;
            match made {
                Ok(site) => self.base = Some(site),
                Err(error) => {
                    let detail = format!("the base could not be prepared: {error:#}");
                    let end = End::NotStarted { detail };
                    return (number, self.unrun(spec, end).await);
                }
            }
        }
        let site = self.base.as_ref().unwrap_or(&self.head);
        let command = self.command(number, spec, site);
        let judged = foreground::run(self.context, self.folder, command, self.stop).await;
        (number, judged)
    }

    /// Starts a command in the background; it is told of when it is stopped, or now if it came to nothing.
    async fn in_background(&mut self, ordered: &Ordered) {
        let begun = Instant::now();
        let number = self.next_number();
        let started = match self.port_for(&ordered.spec).await {
            Ok(()) => {
                let url = background::url(&ordered.spec, self.head.port);
                let command = self.command(number, &ordered.spec, &self.head);
                let (context, folder, stop) = (self.context, self.folder, self.stop);
                background::start(context, folder, command, &mut self.head.network, &url, stop)
                    .await
            }
            Err(error) => Err(End::NotStarted {
                detail: format!("there is no free port: {error}"),
            }),
        };
        let duration_ms = millis(begun);
        match started {
            Ok(supervised) => self.kept.push(Background {
                ordered: ordered.clone(),
                supervised,
                number,
                duration_ms,
            }),
            Err(end) => {
                let log = self.folder.log(number);
                let judged = self.unrun(&ordered.spec, end).await;
                let verdict = judged.verdict.clone();
                self.tell(ordered, judged, verdict, None, duration_ms, log);
            }
        }
    }

    /// Another `$PORT`, if this check wants one and a command that was kept has the one there is.
    async fn port_for(&mut self, spec: &CheckSpec) -> std::io::Result<()> {
        if background::names_port(spec)
            && self
                .kept
                .iter()
                .any(|kept| background::names_port(&kept.ordered.spec))
        {
            self.head.port = self.head.network.free_port().await?;
        }
        Ok(())
    }

    /// Ends what was kept, and tells of it.
    async fn close(mut self) {
        for Background {
            ordered,
            supervised,
            number,
            duration_ms,
        } in std::mem::take(&mut self.kept)
        {
            super::launch::end(&supervised).await;
            let judged = self.unrun(&ordered.spec, End::Healthy).await;
            let verdict = judged.verdict.clone();
            let log = self.folder.log(number);
            self.tell(&ordered, judged, verdict, None, duration_ms, log);
        }
    }

    /// The judgement of an end whose log says nothing of tests.
    async fn unrun(&self, spec: &CheckSpec, end: End) -> Judged {
        judged(spec, end, None, &self.head.checkout).await
    }

    fn command<'b>(&self, number: usize, spec: &'b CheckSpec, site: &Site) -> Command<'b> {
        Command {
            run: self.order.run,
            number,
            spec,
            checkout: site.checkout.clone(),
            variables: self.environment.variables(&self.folder.tmp(), site.port),
            network: site.network.holder(),
        }
    }

    fn next_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// One log of what was printed on the base and on the head.
    async fn joined(&self, base: usize, head: usize) -> PathBuf {
        let log = self.folder.log_of_both(head);
        let parts = [
            (
                format!("== on the base, {} ==\n", self.order.base),
                self.folder.log(base),
            ),
            (
                format!("== on {} ==\n", self.order.commit),
                self.folder.log(head),
            ),
        ];
        let target = log.clone();
        let written = tokio::task::spawn_blocking(move || super::log::join(&target, &parts)).await;
        match written {
            Ok(Ok(())) => log,
            failed => {
                tracing::warn!(
                    ?failed,
                    "the log of a check lacks what it printed on the base"
                );
                self.folder.log(head)
            }
        }
    }

    fn tell(
        &self,
        ordered: &Ordered,
        judged: Judged,
        verdict: Verdict,
        on_base: Option<Judged>,
        duration_ms: u64,
        log: PathBuf,
    ) {
        if self.stop.is_cancelled() {
            return;
        }
        let spec = &ordered.spec;
        let environment = self.environment.of(spec);
        let record = CheckRecord {
            key: self.environment.key(&self.tree, &self.order.base, spec),
            cmd: spec.cmd.clone(),
            end: judged.end,
            failed: verdict.err(),
            duration_ms,
            counts: judged.counts,
            environment: environment.digest,
            tools: environment.tools,
            own_network: self.head.network.is_own(),
            cached_from: None,
            on_base: on_base.map(|judged| OnBase {
                end: judged.end,
                counts: judged.counts,
            }),
        };
        // Nobody wants to know any more.
        let _unheard = self.done.send(Done {
            item: ordered.item,
            record,
            log,
        });
    }
}

impl Site {
    async fn make(context: &Context, checkout: PathBuf, commit: &CommitId) -> anyhow::Result<Site> {
        worktree::check_out_clean(&context.repository, &checkout, commit).await?;
        let mut network = context.networks.take().await?;
        let port = network.free_port().await?;
        Ok(Site {
            checkout,
            network,
            port,
        })
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}
