//! The log through its public face: a test disk carries out its orders, fails, and forgets what was not synced.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dedupe;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod order;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod rescue;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod rollover;
#[cfg(test)]
mod space;
