//! What happens to an object between the request and the store: defaults, admission, validation.

pub(crate) mod decode;
pub(crate) mod metadata;
pub(crate) mod namespace;

use serde_json::Value;

use crate::auth::User;
use crate::merge::managed::Part;
use crate::resource::Resource;
use crate::server::State;
use crate::status::ApiError;

/// Fills in and checks a new object whose metadata is complete.
pub(crate) fn create(state: &State, resource: &Resource, object: &mut Value, user: &User) -> Result<(), ApiError> {
    let _ = user;
    metadata::check_name(resource, object)?;
    namespace::on_create(state, resource, object)?;
    Ok(())
}

/// Fills in and checks a new state of an object.
pub(crate) fn update(
    state: &State,
    resource: &Resource,
    live: &Value,
    new: &mut Value,
    part: Part,
    user: &User,
) -> Result<(), ApiError> {
    let _ = (state, resource, live, new, part, user);
    Ok(())
}
