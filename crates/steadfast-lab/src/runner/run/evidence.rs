//! What the lab itself finds out about the services, without asking any client: their connections and their effects.

use std::collections::BTreeMap;

use steadfast_faults::ledger::event::{EffectEvent, MessageId, ProcessEvent, RunEvent};
use steadfast_faults::topology::InstanceId;
use steadfast_machine::Instant;

use super::Run;
use crate::effects::EffectLog;

impl Run<'_> {
    /// Records how many connections each instance has.
    pub(super) fn count_connections(&mut self, now: Instant) {
        for (instance, count) in self.backend.connections() {
            let event = ProcessEvent::Connections(count);
            self.record(now, RunEvent::Process { instance, event });
        }
    }

    /// Records what the effect logs of all instances contain. A log that cannot be read proves nothing.
    pub(super) fn read_effects(&mut self) {
        let mut executions: BTreeMap<MessageId, u32> = BTreeMap::new();
        for instance in self.instances() {
            let Some(path) = self.backend.effects(instance) else {
                continue;
            };
            let log = match EffectLog::read(&path, &self.key_prefix) {
                Ok(log) => log,
                Err(error) => {
                    self.fail(format!("effect log {}: {error}", path.display()));
                    continue;
                }
            };
            for (request, count) in log.executions {
                let total = executions.entry(request).or_default();
                *total = total.saturating_add(count);
            }
            self.record_effects(EffectEvent::Read {
                instance,
                lines: log.lines,
                foreign: log.foreign,
                is_torn: log.is_torn,
            });
        }
        for (request, count) in executions {
            self.record_effects(EffectEvent::Executed { request, count });
        }
    }

    fn record_effects(&mut self, event: EffectEvent) {
        self.record(self.clock.now(), RunEvent::Effects(event));
    }

    fn instances(&self) -> Vec<InstanceId> {
        let instances = self.plan.topology().instances().iter();
        instances.map(|instance| instance.id).collect()
    }
}
