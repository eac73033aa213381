//! `[link."LOAD->SERVICE"]`: how the clients of a load reach the instances of a service.

/// `[link."LOAD->SERVICE"]`: the connections between one load and one service. Each instance of the service has a link
/// of its own, so that a fault can hit one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The load whose clients connect.
    pub load: String,
    /// The service to which they connect.
    pub service: String,
    /// The ways that the scenario accepts, best first; the run uses the first one that is usable.
    pub via: Vec<Via>,
}

impl Link {
    /// The name in scenarios and reports, for example `chat->gateway`.
    pub fn name(&self) -> String {
        format!("{}->{}", self.load, self.service)
    }
}

/// What lies between a client and an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Nothing: clients connect to the instance, and the link has no faults.
    Direct,
    /// A proxy of the lab, one for each load and instance.
    Proxy,
    /// A network namespace for each instance, and a router between it and the clients.
    Namespace,
}

impl Via {
    /// All ways, in the order of reports.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Proxy, Self::Namespace];

    /// The name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxy => "proxy",
            Self::Namespace => "netns",
        }
    }

    /// The way with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }
}
