//! One agent's host: its parts put together, started, and ended.

use crate::calls::{Calls, GatewayCalls};
use crate::card::{CardKeyError, Published, Publisher, declared_extensions};
use crate::context::{ContextKey, Contexts};
use crate::dispatch::Dispatcher;
use crate::members::Members;
use crate::metrics::{AgentMetrics, HostMetrics};
use crate::owner::{OwnerError, Owners, OwnersParts};
use crate::push::{Push, PushParts};
use crate::service::{Caller, Service};
use crate::settings::HostSettings;
use crate::subscribe::Subscribers;
use crate::wire;
use crate::wire::extensions::Offered;
use crate::worker::protocol::DeclaredCard;
use crate::worker::{Run, Supervisor};
use axum::Router;
use mesh_core::trace::Tracer;
use mesh_core::{AgentName, Clock, ContextId, HostId, Principal, PrincipalId, TaskKey, Tenant, TraceContext};
use mesh_log::{EventLog, LogError};
use mesh_policy::Authorizer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Unfinished tasks read at once at the start.
const RECOVERY_PAGE: usize = 256;

/// How long it may take to hand over what is left at the end.
const HAND_OVER: Duration = Duration::from_secs(5);

/// What a host is given.
pub struct HostParts {
    /// Its configuration.
    pub settings: HostSettings,
    /// Where tasks are kept.
    pub log: Arc<dyn EventLog>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where spans go.
    pub tracer: Tracer,
    /// What it counts into.
    pub metrics: HostMetrics,
}

/// A host could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The HTTP client for calls cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The key of the card cannot be used.
    #[error(transparent)]
    CardKey(#[from] CardKeyError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The A2A server of one agent.
pub struct Host {
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) service: Service,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tracer: Tracer,
    /// The extensions that the card declares.
    pub(crate) extensions: Offered,
    publisher: Publisher,
    declared: watch::Receiver<DeclaredCard>,
    metrics: AgentMetrics,
    ready: watch::Receiver<Option<Arc<Run>>>,
    problem: watch::Receiver<Option<String>>,
    supervisor: Arc<Supervisor>,
    members: Arc<Members>,
    /// No new tasks are started any more.
    draining: CancellationToken,
    /// Streams end.
    pub(crate) closing: CancellationToken,
    /// Workers end.
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Host {
    /// Puts a host together. Nothing runs before [`start`](Self::start).
    ///
    /// # Errors
    /// The HTTP client cannot be set up, or the key of the card cannot be used.
    pub fn new(parts: HostParts) -> Result<Arc<Self>, HostError> {
        let HostParts { settings, log, authorizer, clock, tracer, metrics } = parts;
        let metrics = metrics.for_agent(settings.name.as_str());
        let settings = Arc::new(settings);
        let publisher = Publisher::new(Arc::clone(&settings))?;
        let extensions = Offered::new(&declared_extensions(&settings));
        let (draining, closing, stop) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let tasks = &settings.agent.tasks;
        let (ready_tx, ready) = watch::channel(None);
        let dispatcher =
            Arc::new(Dispatcher::new(tasks.concurrency, tasks.queue, ready.clone(), metrics.clone()));
        let id = HostId::generate();
        let owners = Owners::new(OwnersParts {
            host: id.clone(),
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
            policy: settings.policy(),
            timeout: settings.agent.tasks.timeout,
            dispatcher: Arc::clone(&dispatcher),
            metrics: metrics.clone(),
            working: Arc::default(),
        });
        let tracker = TaskTracker::new();
        let push = Push::new(PushParts {
            settings: Arc::clone(&settings),
            host: id.clone(),
            log: Arc::clone(&log),
            owners: owners.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            stop: stop.clone(),
            tracker: tracker.clone(),
        })?;
        let contexts = Arc::new(Contexts {
            settings: Arc::clone(&settings),
            host: id.clone(),
            log: Arc::clone(&log),
            owners: owners.clone(),
            clock: Arc::clone(&clock),
        });
        let members = Arc::new(Members {
            push: Arc::clone(&push),
            host: id,
            settings: Arc::clone(&settings),
            log: Arc::clone(&log),
            owners: owners.clone(),
            dispatcher: Arc::clone(&dispatcher),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            run: ready.clone(),
            draining: draining.clone(),
            stop: stop.clone(),
        });
        let calls: Arc<dyn Calls> = Arc::new(GatewayCalls::new(
            Arc::clone(&settings),
            tracer.clone(),
            Arc::clone(&clock),
            Arc::clone(&log),
        )?);
        let subscribers = Subscribers::new(
            Arc::clone(&log),
            settings.limits.streams_per_task,
            metrics.clone(),
            closing.clone(),
        );
        let (problem_tx, problem) = watch::channel(Some("the worker is starting".to_owned()));
        let (declared_tx, declared) = watch::channel(DeclaredCard::default());
        let supervisor = Arc::new(Supervisor {
            settings: Arc::clone(&settings),
            calls,
            contexts: Arc::clone(&contexts),
            metrics: metrics.clone(),
            ready: ready_tx,
            problem: problem_tx,
            declared: declared_tx,
            stop: stop.clone(),
            tracker: tracker.clone(),
        });
        let service = Service {
            settings: Arc::clone(&settings),
            log,
            owners,
            dispatcher,
            subscribers,
            push,
            contexts,
            authorizer,
            draining: draining.clone(),
        };
        Ok(Arc::new(Self {
            settings,
            service,
            clock,
            tracer,
            extensions,
            publisher,
            declared,
            metrics,
            ready,
            problem,
            supervisor,
            members,
            draining,
            closing,
            stop,
            tracker,
        }))
    }

    /// The agent's name.
    pub fn name(&self) -> &AgentName {
        &self.settings.name
    }

    /// What the agent says about itself at this moment.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.publisher.current(&self.declared.borrow())
    }

    /// The routes to be served on the agent's address.
    pub fn router(self: &Arc<Self>) -> Router {
        wire::router(Arc::clone(self))
    }

    /// The gauge of open connections, for the listener.
    pub fn connections(&self) -> impl Fn(i64) + Send + Sync + 'static {
        let gauge = self.metrics.connections.clone();
        move |change| {
            gauge.inc_by(change);
        }
    }

    /// Takes up the tasks that an earlier run left unfinished, then starts the worker and the dispatching. Returns how many
    /// tasks were taken up. Where several hosts share the log, tasks are taken up later, when it is clear that nobody has
    /// them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn start(self: &Arc<Self>) -> Result<usize, HostError> {
        self.members.join().await?;
        let alone = !self.service.log.is_shared();
        let resumed = if alone { self.recover().await? } else { 0 };
        if alone {
            self.service.push.take_over(|_| true).await?;
        }
        self.tracker.spawn(Arc::clone(&self.supervisor).supervise());
        self.tracker.spawn(Arc::clone(&self.members).watch());
        self.tracker.spawn(Arc::clone(&self.members).claim());
        self.tracker.spawn(Arc::clone(&self.members).count());
        let host = Arc::clone(self);
        self.tracker.spawn(async move { host.service.dispatcher.dispatch(host.draining.clone()).await });
        Ok(resumed)
    }

    async fn recover(&self) -> Result<usize, HostError> {
        let mut after: Option<TaskKey> = None;
        let mut resumed = 0;
        loop {
            let heads =
                self.service.log.unfinished(&self.settings.name, after.as_ref(), RECOVERY_PAGE).await?;
            let Some(last) = heads.last() else { break };
            after = Some(last.key.clone());
            for head in heads {
                match self.service.owners.resume(&head).await {
                    Ok(()) => resumed += 1,
                    Err(OwnerError::Log(error)) => {
                        tracing::error!(task = %head.key, %error, "a task cannot be taken up again");
                    }
                    Err(error) => tracing::warn!(task = %head.key, %error, "a task was not taken up again"),
                }
            }
        }
        Ok(resumed)
    }

    /// Forgets the memory of a context if its owner has no task in it any more, of whichever agent: for whoever has just
    /// deleted a task of it. `true`: it is forgotten, or there was none.
    ///
    /// # Errors
    /// The log fails.
    pub async fn forget_context(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        context: &ContextId,
    ) -> Result<bool, LogError> {
        let context = ContextKey::new(tenant.clone(), owner.clone(), context.clone());
        self.service.contexts.forget_if_unused(&context).await
    }

    /// `None` when the worker is ready for tasks, otherwise why it is not.
    pub fn not_ready(&self) -> Option<String> {
        if self.draining.is_cancelled() {
            return Some("shutting down".to_owned());
        }
        if self.ready.borrow().is_some() {
            return None;
        }
        Some(self.problem.borrow().clone().unwrap_or_else(|| "the worker is starting".to_owned()))
    }

    /// Ends: no new attempts; running ones get `grace`; then streams and workers end. What is unfinished is taken up by
    /// the next start.
    pub async fn shutdown(&self, grace: Duration) {
        self.draining.cancel();
        let idle = async {
            while self.service.owners.working() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let drained = tokio::time::timeout(grace, idle).await.is_ok();
        tracing::info!(
            agent = %self.settings.name, drained, tasks_left = self.service.owners.len(), "the host stops"
        );
        if tokio::time::timeout(HAND_OVER, self.service.owners.release_all("the host shuts down"))
            .await
            .is_err()
        {
            tracing::warn!(agent = %self.settings.name, "not every attempt could be handed over");
        }
        self.closing.cancel();
        self.stop.cancel();
        self.members.leave().await;
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Who calls, while authentication is off: the configured local principal; in another tenant, if that is asked for,
    /// where nothing of this mesh is to be found.
    pub(crate) fn caller(&self, tenant: Option<String>, trace: TraceContext) -> Caller {
        let mut principal: Principal = self.settings.caller.clone();
        if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) {
            principal.tenant = Tenant::from(tenant);
        }
        Caller { principal, trace }
    }
}
