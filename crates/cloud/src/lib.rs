//! Credentials of the clouds: tokens, signatures, and the frames of AWS streams.
//!
//! Turns what a provider row holds, or what the machine itself may use, into what a request to Bedrock,
//! Vertex or Azure carries. Must never open a connection, read a file, the environment or a clock on
//! its own: all of that goes through [`Outside`], which the caller makes, so that every address passes
//! the caller's guard and every test scripts the world. No error and no log line of this crate holds a
//! secret, an assertion or a token.
//!
//! | cloud | stored credential | the machine's own identity |
//! |---|---|---|
//! | AWS | [`AwsCredentials`] | [`aws::ambient`] |
//! | Google | [`google::StoredCredential`] | [`google::ambient`] |
//! | Azure | an API key, which needs nothing from here | [`entra::ambient`] |
//!
//! Start at [`CachedToken`], which keeps what a [`TokenSource`] fetched; then [`sigv4::sign`] and
//! [`eventstream::Decoder`].

pub mod aws;
mod bearer;
pub mod entra;
mod error;
pub mod eventstream;
mod exchange;
pub mod google;
mod outside;
pub mod sigv4;
#[cfg(test)]
mod testing;
mod token;

pub use aws::AwsCredentials;
pub use bearer::Bearer;
pub use error::{Cloud, CloudError, RefusalCode};
pub use outside::{Ambient, Background, Env, FileFailure, HttpFailure, Outside, Reach, TokenHttp};
pub use token::{CachedToken, Fresh, TokenSource};
