//! What is installed in a cluster: the release that this program was built with, as it is wanted there.

mod flags;
mod installed;
mod resource;

use ipam::api::{SYSTEM_NAMESPACE, is_subdomain};
use serde_json::{Value, json};

pub use flags::Flag;
pub use installed::Installed;
use resource::resource;

use crate::error::{Error, Kind};
use crate::output::yaml;

const SHIPPED: &str = include_str!("../../../config/release/ipam-components.yaml");

/// The objects of an installation, in the order in which they are made.
pub struct Manifests {
    objects: Vec<Value>,
}

impl Manifests {
    /// Those of the release, with the image that `IPAM_IMAGE` named when this program was built; without one, with an image
    /// that is on no registry.
    pub fn shipped() -> Result<Self, Error> {
        // The limits of the YAML reader guard against strangers; this text is our own.
        let options = serde_saphyr::options! { budget: None };
        let objects: Result<Vec<Value>, _> = serde_saphyr::from_multiple_with_options(SHIPPED, options);
        let objects = objects.map_err(|error| {
            Error::new(Kind::Failed, "cannot read the manifests of this program").caused_by(error)
        })?;
        let manifests = Self { objects };
        match option_env!("IPAM_IMAGE") {
            Some(image) => manifests.with_image(image),
            None => Ok(manifests),
        }
    }

    /// The same, in another namespace.
    pub fn into_namespace(mut self, namespace: &str) -> Result<Self, Error> {
        check_namespace(namespace)?;
        self.objects.iter_mut().for_each(|object| rename(object, namespace));
        Ok(self)
    }

    /// The same, with another image of the controller.
    pub fn with_image(mut self, image: &str) -> Result<Self, Error> {
        if image.is_empty() || image.contains(char::is_whitespace) {
            return Err(Error::new(Kind::Usage, format!("--image `{image}` is no image")));
        }
        self.container()?["image"] = json!(image);
        Ok(self)
    }

    /// The same, with other flags of the controller.
    pub fn with_flags(mut self, flags: &[Flag]) -> Result<Self, Error> {
        let replicas = self.deployment()?["spec"]["replicas"].as_u64().unwrap_or(1);
        let container = self.container()?;
        let mut arguments = texts(&container["args"]);
        for flag in flags {
            flag.put_into(&mut arguments);
        }
        flags::check(&arguments, replicas)?;
        container["args"] = json!(arguments);
        Ok(self)
    }

    /// The same, with another number of replicas.
    pub fn with_replicas(mut self, replicas: u16) -> Result<Self, Error> {
        self.deployment()?["spec"]["replicas"] = json!(replicas);
        Ok(self)
    }

    /// Whether the image is one that only the machine that built it has.
    pub fn is_local(&self) -> bool {
        let mut deployments = self.objects.iter().filter(|object| object["kind"] == "Deployment");
        deployments.any(|object| {
            let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
            image.as_str().is_some_and(|image| image.starts_with("localhost/"))
        })
    }

    /// All of them.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// As one YAML text for `kubectl apply -f -`.
    pub fn yaml(&self) -> Result<String, Error> {
        let documents: Result<Vec<String>, Error> = self.objects.iter().map(yaml).collect();
        Ok(documents?.join("---\n"))
    }

    fn deployment(&mut self) -> Result<&mut Value, Error> {
        let found = self.objects.iter_mut().find(|object| object["kind"] == "Deployment");
        found.ok_or_else(|| Error::new(Kind::Failed, "the manifests of this program have no Deployment"))
    }

    fn container(&mut self) -> Result<&mut Value, Error> {
        Ok(&mut self.deployment()?["spec"]["template"]["spec"]["containers"][0])
    }
}

/// A namespace's name is also a part of users' names and host names.
fn check_namespace(name: &str) -> Result<(), Error> {
    if name.len() > 63 || name.contains('.') || !is_subdomain(name) {
        return Err(Error::new(Kind::Usage, format!("`{name}` is no name of a namespace"))
            .hint("small letters, digits and hyphens, 63 at most"));
    }
    Ok(())
}

/// Puts another namespace in the place of the shipped one: as a whole text, and as a part of the service account's name
/// in expressions of webhooks.
fn rename(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) if text == SYSTEM_NAMESPACE => namespace.clone_into(text),
        Value::String(text) => {
            let account = |namespace: &str| format!("system:serviceaccount:{namespace}:");
            *text = text.split(&account(SYSTEM_NAMESPACE)).collect::<Vec<_>>().join(&account(namespace));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, namespace)),
        Value::Object(members) => members.values_mut().for_each(|member| rename(member, namespace)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Manifests {
        Manifests::shipped().unwrap()
    }

    fn arguments(manifests: &mut Manifests) -> Vec<String> {
        texts(&manifests.container().unwrap()["args"])
    }

    #[test]
    fn every_shipped_object_is_of_a_kind_that_can_be_uninstalled() {
        for object in shipped().objects() {
            assert!(resource(object).is_some(), "{} {}", object["apiVersion"], object["kind"]);
        }
    }

    #[test]
    fn nothing_of_the_shipped_namespace_is_left_in_another() {
        let moved = shipped().into_namespace("team-net").unwrap();
        let text = moved.yaml().unwrap();
        assert!(!text.contains(SYSTEM_NAMESPACE), "{text}");
        assert!(text.contains("'system:serviceaccount:team-net:ipam-manager'"), "{text}");
        let namespaced = |object: &&Value| object["metadata"]["namespace"] == "team-net";
        assert!(moved.objects().iter().filter(namespaced).count() > 5);
    }

    #[test]
    fn a_name_that_no_namespace_can_have_is_refused() {
        for name in ["", "Team", "a b", "-a", "a-", "a'", &"a".repeat(64)] {
            assert!(shipped().into_namespace(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_printed_is_what_was_read() {
        let printed = shipped().yaml().unwrap();
        let again: Vec<Value> = serde_saphyr::from_multiple(&printed).unwrap();
        assert_eq!(again, shipped().objects());
    }

    #[test]
    fn a_flag_takes_the_place_of_the_one_that_is_there_and_else_comes_last() {
        let flag = |text: &str| Flag::read(text).unwrap();
        let before = arguments(&mut shipped());
        assert!(before.iter().any(|argument| argument.starts_with("--leader-elect")), "{before:?}");
        let flags = [flag("watch-filter=blue"), flag("--leader-elect=false"), flag("v=4")];
        let mut set = shipped().with_replicas(1).unwrap().with_flags(&flags).unwrap();
        let after = arguments(&mut set);
        assert_eq!(after.len(), before.len() + 2);
        assert!(after.contains(&"--leader-elect=false".to_owned()), "{after:?}");
        assert!(after.ends_with(&["--watch-filter=blue".to_owned(), "--v=4".to_owned()]), "{after:?}");
    }

    #[test]
    fn several_replicas_without_a_leader_are_refused() {
        let flags = [Flag::read("leader-elect=false").unwrap()];
        assert!(shipped().with_replicas(2).unwrap().with_flags(&flags).is_err());
        assert!(shipped().with_replicas(1).unwrap().with_flags(&flags).is_ok());
    }
}
