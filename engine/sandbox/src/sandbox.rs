//! A running sandbox: its tasks, and what a process that holds it may ask without HTTP.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::behaviour::{Behaviour, BehaviourCell, BehaviourError};
use crate::config::SandboxConfig;
use crate::graph::agenda::Agenda;
use crate::graph::control::{Inbound, StatusOrder};
use crate::graph::delivery::{Delivery, WebhookRefused};
use crate::graph::{Graph, server, state};
use crate::network::Network;
use crate::network::clock::Clock;
use crate::network::ledger::LedgerRow;
use crate::network::magic::MAGIC;
use crate::network::stats::Stats;

/// A running simulated WhatsApp. Several may run in one process. Dropping it stops it; [`stop`]
/// also waits until its port is free.
///
/// [`stop`]: Sandbox::stop
pub struct Sandbox {
    config: SandboxConfig,
    address: SocketAddr,
    graph: Arc<Graph>,
    tasks: TaskTracker,
    stop: DropGuard,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts a sandbox on the current tokio runtime. A wrong configuration is `InvalidInput` with
    /// a sentence that names the key; a taken port is whatever the system says.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        let invalid = |sentence: String| io::Error::new(io::ErrorKind::InvalidInput, sentence);
        config.check().map_err(invalid)?;
        let clock = Arc::new(Clock::start(config.starts_at_ms));
        let behaviour = Arc::new(BehaviourCell::new(config.behaviour.clone()));
        let numbers: Arc<[_]> = config.numbers.clone().into();
        let agenda = Arc::new(Agenda::default());
        let shared = (Arc::clone(&numbers), Arc::clone(&clock), Arc::clone(&behaviour));
        let delivery = Delivery::new(&config, shared.0, shared.1, shared.2, Arc::clone(&agenda));
        let delivery = Arc::new(delivery.map_err(|refused| invalid(format!("webhook_url: {refused}")))?);
        let face = Arc::clone(&delivery);
        let network = Arc::new(Network::new(&config, numbers, clock, behaviour, face));
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let graph =
            Arc::new(Graph::new(&config, Arc::clone(&network), Arc::clone(&delivery), agenda, address));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(network.run(stop.clone()));
        tasks.spawn(Arc::clone(&graph).run(stop.clone()));
        tasks.spawn(delivery.run(stop.clone(), tasks.clone()));
        tasks.spawn(server::serve(listener, Arc::clone(&graph), stop.clone(), tasks.clone()));
        tracing::info!(%address, seed = config.seed, "sandbox listens");
        Ok(Self { config, address, graph, tasks, stop: stop.drop_guard() })
    }

    /// Starts a sandbox where another was when its [`state`](Sandbox::state) was saved: seed, numbers, clock, behaviour
    /// and receiver (unless one is configured) are the state's, secrets and the address the configuration's.
    pub async fn start_from(mut config: SandboxConfig, saved: &serde_json::Value) -> io::Result<Self> {
        let invalid = |sentence: String| io::Error::new(io::ErrorKind::InvalidInput, sentence);
        let saved = state::read(saved).map_err(invalid)?;
        (config.seed, config.numbers) = (saved.seed, saved.numbers.clone());
        let receiver = config.webhook_url.clone();
        let sandbox = Self::start(config).await?;
        sandbox.graph.load(saved).map_err(invalid)?;
        if let Some(url) = receiver {
            let refused = |refused: WebhookRefused| invalid(format!("webhook_url: {refused}"));
            sandbox.graph.delivery.subscribe(Some(&url)).map_err(refused)?;
        }
        Ok(sandbox)
    }

    /// Everything it knows, as one JSON object.
    pub async fn state(&self) -> Result<serde_json::Value, String> {
        self.graph.save().await
    }

    /// Takes a saved state's place; it must be of the same seed and numbers.
    pub fn load(&self, saved: &serde_json::Value) -> Result<(), String> {
        self.graph.load(state::read(saved)?)
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What it was started with.
    pub fn config(&self) -> &SandboxConfig {
        &self.config
    }

    /// Everything counted so far.
    pub fn stats(&self) -> Stats {
        self.graph.stats()
    }

    /// Everything received so far, in order.
    pub fn ledger(&self) -> Vec<LedgerRow> {
        self.graph.network.rows(0, usize::MAX).0
    }

    /// At most `limit` rows of the ledger after the row `after` (0: from the start).
    pub fn ledger_page(&self, after: u64, limit: usize) -> Vec<LedgerRow> {
        self.graph.network.rows(after, limit).0
    }

    /// Accepted messages per recipient.
    pub fn recipients(&self) -> BTreeMap<String, u64> {
        self.graph.network.recipients()
    }

    /// The behaviour in force.
    pub fn behaviour(&self) -> Behaviour {
        Behaviour::clone(&self.graph.network.behaviour.get())
    }

    /// Replaces the behaviour; a wrong one changes nothing.
    pub fn set_behaviour(&self, behaviour: Behaviour) -> Result<(), BehaviourError> {
        behaviour.check()?;
        self.graph.network.behaviour.set(behaviour);
        self.graph.delivery.wake();
        Ok(())
    }

    /// Performs the verification handshake with a receiver and sends webhooks there from now on.
    pub async fn set_webhook(&self, url: &str) -> Result<(), WebhookRefused> {
        self.graph.delivery.verify(url, self.graph.delivery.verify_token()).await?;
        self.graph.delivery.subscribe(Some(url))
    }

    /// Holds webhooks back; they wait.
    pub fn pause_webhooks(&self) {
        self.graph.delivery.hold(true);
    }

    /// Lets them go.
    pub fn resume_webhooks(&self) {
        self.graph.delivery.hold(false);
    }

    /// A user writes; returns the message's id, or a sentence about what is wrong with the order.
    pub fn inbound(&self, order: &Inbound) -> Result<String, String> {
        self.graph.inbound(order)
    }

    /// Tells a status; errs with a sentence about what is wrong with the order.
    pub fn status(&self, order: &StatusOrder) -> Result<(), String> {
        self.graph.order(order).map(|_| ())
    }

    /// Puts the sandbox's clock ahead: limits refill, what became due happens, webhooks repeat.
    pub fn advance(&self, ms: u64) {
        self.graph.advance(ms);
    }

    /// Forgets every message; configuration, behaviour and receiver stay.
    pub fn reset(&self) {
        self.graph.reset();
    }

    /// Stops and waits until every connection is closed and the port is free.
    pub async fn stop(self) {
        self.tasks.close();
        self.stop.disarm().cancel();
        self.tasks.wait().await;
    }

    /// What `kabar sandbox` prints: addresses, tokens, numbers and magic numbers.
    pub fn banner(&self) -> String {
        let (base, config) = (self.base_url(), &self.config);
        let token = config.access_tokens.first().map_or("(none)", String::as_str);
        let mut text = format!(
            "Simulated WhatsApp, seed {}\n\n  Graph API     {base}/v25.0\n  access token  {token}\n  app secret    {}\n  \
             verify token  {}\n  webhooks to   {}\n\n  control API   {base}/_sim/stats\n  its token     {}\n\nNumbers\n",
            config.seed,
            config.app_secret,
            config.verify_token,
            config.webhook_url.as_deref().unwrap_or("nowhere yet: POST {\"url\":…} to /_sim/webhook"),
            config.control_token,
        );
        // writing into a string cannot fail
        for number in &config.numbers {
            let _ = writeln!(
                text,
                "  {}  +{}  account {}  {} messages/s",
                number.phone_number_id,
                number.display_phone_number,
                number.waba_id,
                number.messages_per_second
            );
        }
        text.push_str("\nMagic recipients (country code 999)\n");
        for (ending, does) in MAGIC {
            let _ = writeln!(text, "  999{ending:<16} {does}");
        }
        if let Some(number) = config.numbers.first() {
            let _ = write!(
                text,
                "\nTry\n  curl {base}/v25.0/{}/messages -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n    \
                 -d '{{\"messaging_product\":\"whatsapp\",\"to\":\"9995550004\",\"type\":\"text\",\"text\":{{\"body\":\"Hi\"}}}}'\n",
                number.phone_number_id
            );
        }
        text
    }
}
