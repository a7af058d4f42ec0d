//! The startContainer hooks, which run inside the container when it is started.
//!
//! libcontainer would pass them a state whose bundle is the directory of its config.json, and `runu
//! hook` is not in sight there. So the monitor has them run itself.

use std::collections::HashMap;

use libcontainer::container::{ContainerStatus, State};
use libcontainer::hooks::run_hooks;
use libcontainer::oci_spec::runtime::Hook;
use serde_json::Value;

use crate::lifecycle::hooks::error::HookError;
use bundle::Bundle;

/// The hooks and the state that they get on stdin.
#[derive(Clone)]
pub(in crate::lifecycle) struct StartHooks {
    hooks: Vec<Hook>,
    state: State,
}

impl StartHooks {
    /// Moves the hooks out of the configuration of `bundle`, for the container `id`.
    ///
    /// # Errors
    /// When they are none.
    pub(in crate::lifecycle) fn extract(
        config: &mut Value,
        id: &str,
        bundle: &Bundle,
    ) -> Result<Self, HookError> {
        let hooks = match config["hooks"].get_mut("startContainer") {
            Some(hooks) => {
                serde_json::from_value::<Option<_>>(hooks.take()).map_err(HookError::Malformed)?
            }
            None => None,
        };
        let mut state = State::new(id, ContainerStatus::Created, None, bundle.path.clone());
        let annotations = bundle.config.annotations();
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        state.annotations = Some(annotations.map(owned).collect());
        Ok(Self {
            hooks: hooks.unwrap_or_default(),
            state,
        })
    }

    /// Runs them, in the container's init process: with its environment, where a hook has
    /// none of its own.
    ///
    /// # Errors
    /// The first hook's that fails.
    pub(in crate::lifecycle) fn run(&self) -> Result<(), HookError> {
        let mut state = self.state.clone();
        state.pid = i32::try_from(std::process::id()).ok();
        // What is no text cannot be handed on by libcontainer.
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment: HashMap<_, _> = texts.collect();
        let run = run_hooks(
            Some(&self.hooks),
            Some(&state),
            None,
            None,
            Some(&environment),
        );
        run.map_err(HookError::StartContainer)
    }
}
