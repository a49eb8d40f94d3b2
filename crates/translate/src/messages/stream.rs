//! Streams of Messages: events of a provider, and the frames for a caller (providers 17).
//!
//! Start at [`Reader`] and [`Writer`].

mod read;
mod write;

pub use read::Reader;
pub use write::Writer;

#[cfg(test)]
mod tests;
