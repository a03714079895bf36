//! Questions to the API server about callers. They are asked by POST, and nothing is kept of them.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// Whose token it is; nobody's where it is not valid.
///
/// # Errors
/// The API server does not say.
pub async fn owner_of(client: Client, token: &str) -> kube::Result<Option<UserInfo>> {
    let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let reviewed = Api::all(client).create(&PostParams::default(), &review).await?;
    let status = reviewed.status.unwrap_or_default();
    Ok(if status.authenticated == Some(true) { status.user } else { None })
}

/// Whether `user` may read `path` of a server that is no part of the API.
///
/// # Errors
/// The API server does not say.
pub async fn may_read(client: Client, user: &UserInfo, path: &str) -> kube::Result<bool> {
    let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
    let spec = SubjectAccessReviewSpec {
        user: user.username.clone(),
        groups: user.groups.clone(),
        uid: user.uid.clone(),
        extra: user.extra.clone(),
        non_resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviewed = Api::all(client).create(&PostParams::default(), &review).await?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}
