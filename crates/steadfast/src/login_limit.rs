//! Bounds the logins of a process at one server, which permits a number of them in a time for each address.
//!
//! [`LoginBudget`] decides; this shell knows the time, and which clients share a budget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::login_budget::{LoginBudget, LoginBudgetSettings};
use tokio::time::sleep;

/// The most hosts with a budget of their own; further ones share one.
const HOSTS_MAX: usize = 1_024;

/// The name of the budget that these share. No host has it.
const OTHER_HOSTS: &str = "";

/// A limit on the logins at each host. Clones share it, and a dial waits until its login is permitted; the time limit of an
/// attempt does not include that time.
///
/// Clients of [`truenas`](crate::truenas) share [`Self::process_wide`] by default; others have no limit.
#[derive(Clone, Debug)]
pub struct LoginLimit {
    settings: LoginBudgetSettings,
    budgets: Arc<Budgets>,
}

#[derive(Debug)]
struct Budgets {
    clock: Clock,
    by_host: Mutex<BTreeMap<String, LoginBudget>>,
}

impl LoginLimit {
    /// Creates a limit of this number of calls of one method in each window.
    pub fn new(settings: LoginBudgetSettings) -> Self {
        Self {
            settings,
            budgets: Arc::new(Budgets {
                clock: Clock::start(),
                by_host: Mutex::default(),
            }),
        }
    }

    /// Returns the limit that all clients of this process share by default.
    pub fn process_wide() -> Self {
        static PROCESS_WIDE: OnceLock<LoginLimit> = OnceLock::new();
        let limit =
            PROCESS_WIDE.get_or_init(|| Self::new(steadfast_core::dialect::truenas::LOGIN_BUDGET));
        limit.clone()
    }

    /// Takes what a login at this host needs, or returns after which time to try again.
    fn try_take(&self, host: &str, calls: u32) -> Result<(), Duration> {
        let now = self.budgets.clock.now();
        self.with_budget(host, |budget| budget.take(now, calls))
            .map_err(|at| at.saturating_since(now))
    }

    fn with_budget<T>(&self, host: &str, act: impl FnOnce(&mut LoginBudget) -> T) -> T {
        let now = self.budgets.clock.now();
        // No code that holds the lock panics.
        let by_host = self.budgets.by_host.lock();
        let mut by_host = by_host.unwrap_or_else(PoisonError::into_inner);
        if by_host.len() >= HOSTS_MAX {
            by_host.retain(|_, budget| !budget.is_unused(now));
        }
        let is_known = by_host.contains_key(host);
        let host = if is_known || by_host.len() < HOSTS_MAX {
            host
        } else {
            OTHER_HOSTS
        };
        let budget = by_host
            .entry(host.to_owned())
            .or_insert_with(|| LoginBudget::new(self.settings));
        act(budget)
    }
}

/// The limit on the logins of one client.
#[derive(Clone, Debug)]
pub(crate) struct LoginCost {
    pub(crate) limit: LoginLimit,
    /// The most calls of one method in a login.
    pub(crate) calls: u32,
}

impl LoginCost {
    /// Takes what a login at this host needs. Returns whether it is permitted now.
    pub(crate) fn try_take(&self, host: &str) -> bool {
        self.limit.try_take(host, self.calls).is_ok()
    }

    /// Waits until a login at this host is permitted.
    pub(crate) async fn take(&self, host: &str) {
        while let Err(wait) = self.limit.try_take(host, self.calls) {
            sleep(wait).await;
        }
    }

    /// The login for which a dial has taken what it needs: it costs nothing unless a connection is made.
    pub(crate) fn reserved(&self, host: &str) -> ReservedLogin {
        ReservedLogin {
            cost: self.clone(),
            host: host.to_owned(),
            is_made: false,
        }
    }

    /// Counts a login over an open connection, which is not delayed: there is one at a time.
    pub(crate) fn charge(&self, host: &str) {
        let now = self.limit.budgets.clock.now();
        let charge = |budget: &mut LoginBudget| budget.charge(now, self.calls);
        self.limit.with_budget(host, charge);
    }
}

/// What a login needs, while its server is dialled.
#[derive(Debug)]
pub(crate) struct ReservedLogin {
    cost: LoginCost,
    host: String,
    is_made: bool,
}

impl ReservedLogin {
    /// The server is reached: the login follows.
    pub(crate) fn made(mut self) {
        self.is_made = true;
    }
}

impl Drop for ReservedLogin {
    fn drop(&mut self) {
        if !self.is_made {
            let refund = |budget: &mut LoginBudget| budget.refund(self.cost.calls);
            self.cost.limit.with_budget(&self.host, refund);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LoginBudgetSettings = LoginBudgetSettings::new(4, Duration::from_hours(1));

    fn cost(limit: &LoginLimit) -> LoginCost {
        LoginCost {
            limit: limit.clone(),
            calls: 2,
        }
    }

    #[test]
    fn clients_share_the_budget_of_a_host_and_hosts_have_one_each() {
        let limit = LoginLimit::new(SETTINGS);
        let (one, other) = (cost(&limit), cost(&limit));

        assert!(one.try_take("a") && other.try_take("a"));
        assert!(!one.try_take("a") && !other.try_take("a"));
        assert!(one.try_take("b"), "another host");
    }

    #[test]
    fn a_login_is_counted_if_its_server_was_reached() {
        let cost = cost(&LoginLimit::new(SETTINGS));

        for _ in 0..10 {
            assert!(cost.try_take("a"));
            drop(cost.reserved("a"));
        }
        for _ in 0..2 {
            assert!(cost.try_take("a"));
            cost.reserved("a").made();
        }

        assert!(!cost.try_take("a"));
    }

    #[test]
    fn a_login_over_an_open_connection_is_counted() {
        let cost = cost(&LoginLimit::new(SETTINGS));

        cost.charge("a");
        cost.charge("a");

        assert!(!cost.try_take("a"));
    }

    #[test]
    fn any_number_of_hosts_takes_no_more_memory() {
        let limit = LoginLimit::new(SETTINGS);
        for host in 0..2 * HOSTS_MAX {
            cost(&limit).charge(&host.to_string());
        }

        let hosts = limit.budgets.by_host.lock().unwrap().len();
        assert_eq!(hosts, HOSTS_MAX + 1);
        assert!(!cost(&limit).try_take("another"), "they share a budget");
    }

    #[tokio::test]
    async fn a_login_that_waits_is_permitted_when_the_window_has_passed() {
        let settings = LoginBudgetSettings::new(2, Duration::from_millis(20));
        let cost = cost(&LoginLimit::new(settings));
        assert!(cost.try_take("a"));

        cost.take("a").await;

        assert!(!cost.try_take("a"), "it was taken");
    }

    #[test]
    fn clients_of_a_process_share_one_limit_by_default() {
        let limits = [LoginLimit::process_wide(), LoginLimit::process_wide()];
        let host = "only.in.this.test";

        let logins = (0..).take_while(|n| cost(&limits[n % 2]).try_take(host));

        // Of two calls of a method each: fewer than the 20 that the server permits.
        assert_eq!(logins.count(), 9);
    }
}
