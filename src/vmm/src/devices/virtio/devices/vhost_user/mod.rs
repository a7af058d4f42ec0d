//! A vhost-user back end: a process that has a device's queues.
//!
//! | module | what is in it |
//! |---|---|
//! | [`back_end`] | the connection with it, and how it gets the queues |
//! | [`error`] | what can be wrong with it |

mod back_end;
mod error;
#[cfg(test)]
mod fake_back_end;
#[cfg(test)]
mod tests;

pub(crate) use back_end::BackEnd;
pub use back_end::check;
pub use error::BackEndError;
