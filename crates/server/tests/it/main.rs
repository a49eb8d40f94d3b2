//! The real binary between real sockets: callers on one side, a mock provider on the other.
//!
//! Every test starts its own `langwatch serve` on port 0 with its own data folder, and asserts on what the
//! caller, the provider and the ledger saw. No fixed ports, no shared state, no sleeps: a test waits for a
//! condition ([`support::eventually`]). Start at [`support::Gateway`].

#[cfg(test)]
mod admin_crash;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod crash;

#[cfg(test)]
mod support;

#[cfg(test)]
mod as_code;
#[cfg(test)]
mod attribution;
#[cfg(test)]
mod bill;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod cache_control;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod freshness;
#[cfg(test)]
mod guardrails;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod migration;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod rate_limits;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod walk;
