//! The log through its public interface: a test disk executes its operations, fails, and loses what was not synced.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod dedup;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod imitation;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod order;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod payloads;
#[cfg(test)]
mod random;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod replacement;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod rollover;
#[cfg(test)]
mod snapshots;
mod stuck;
#[cfg(test)]
mod time;
