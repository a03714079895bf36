//! The command lines of the components.

use std::path::Path;

use kube::Config;

use super::{Component, Options, kubeconfig, layout::Layout, ports, server::Recipe};
use crate::{Binaries, Error};

/// How to start each component of one control plane.
#[derive(Clone, Debug)]
pub(super) struct Recipes {
    pub(super) etcd: Recipe,
    pub(super) apiserver: Recipe,
    pub(super) controller_manager: Option<Recipe>,
}

impl Recipes {
    /// Recipes with ports on which nothing listens now.
    pub(super) fn new(binaries: &Binaries, layout: &Layout, options: &Options) -> Result<Self, Error> {
        let port = || ports::free().map_err(Error::file("find a free port in", "127.0.0.1"));
        let (etcd_port, api_port) = (port()?, port()?);
        let recipe = |component: Component, port, arguments| Recipe {
            name: component.tool().name(),
            program: binaries.path(component.tool()).to_owned(),
            arguments,
            log: layout.log(component.tool().name()),
            port,
        };
        Ok(Self {
            etcd: recipe(Component::Etcd, etcd_port, etcd(layout, options, etcd_port)),
            apiserver: recipe(
                Component::ApiServer,
                api_port,
                apiserver(layout, options, etcd_port, api_port),
            ),
            controller_manager: options
                .controller_manager
                .then(|| recipe(Component::ControllerManager, 0, controller_manager(layout))),
        })
    }

    pub(super) fn of(&self, component: Component) -> Option<&Recipe> {
        match component {
            Component::Etcd => Some(&self.etcd),
            Component::ApiServer => Some(&self.apiserver),
            Component::ControllerManager => self.controller_manager.as_ref(),
        }
    }

    pub(super) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd.port)
    }

    pub(super) fn etcd_config(&self) -> Config {
        kubeconfig::config(self.etcd.port, None, None)
    }

    pub(super) fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver.port)
    }
}

fn etcd(layout: &Layout, options: &Options, port: u16) -> Vec<String> {
    let mut arguments = vec![
        flag("data-dir", layout.store()),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        // It has no peers; any port will do.
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--quota-backend-bytes=8589934592".to_owned(),
    ];
    if !options.fsync {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

fn apiserver(layout: &Layout, options: &Options, etcd_port: u16, port: u16) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // A loopback address is refused as an endpoint of the `kubernetes` service, over and over.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        flag("cert-dir", layout.dir()),
        flag("tls-cert-file", layout.serving_certificate()),
        flag("tls-private-key-file", layout.serving_key()),
        flag("token-auth-file", layout.tokens()),
        "--authorization-mode=RBAC".to_owned(),
        flag("service-account-key-file", layout.accounts_public_key()),
        flag("service-account-signing-key-file", layout.accounts_key()),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        // Nothing makes the `default` account of a namespace here, and the plugin would refuse every pod for it.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    arguments.extend(options.apiserver_arguments.iter().cloned());
    arguments
}

fn controller_manager(layout: &Layout) -> Vec<String> {
    vec![
        flag("kubeconfig", layout.admin_kubeconfig()),
        "--controllers=garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller"
            .to_owned(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // The defaults (20/s) make the deletion of a namespace take minutes.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]
}

fn flag(name: &str, path: impl AsRef<Path>) -> String {
    format!("--{name}={}", path.as_ref().display())
}
