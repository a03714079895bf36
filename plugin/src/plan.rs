//! A change is a plan before it is a deed: shown, then carried out.

use clap::{Args, ValueEnum};
use ipam::apply::{Change, Reply, Target};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::{Asked, Error, Kind};
use crate::interrupt;
use crate::output::{Written, line, plural, talk_line, write_on};
use crate::ui::{Person, Ui, missing};

/// What is going to be written, step by step.
#[derive(Clone, Default)]
pub struct Plan {
    steps: Vec<Step>,
}

/// One write.
#[derive(Clone)]
pub struct Step {
    sign: char,
    what: String,
    done: String,
    /// Why, where the object alone does not say it.
    why: Option<String>,
    /// Whether it is just as well that the object is gone or was changed already.
    or_overtaken: bool,
    change: Change,
}

/// What became of a write.
enum Done {
    Object(Box<Value>),
    Gone,
    /// Somebody was faster.
    Overtaken,
}

/// Flags of every command that writes.
#[derive(Args, Clone, Debug)]
pub struct Writing {
    /// Show the plan and write nothing: `client` asks nobody, `server` has the API server check it
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "client", default_value = "none", hide_default_value = true)]
    dry_run: DryRun,
    #[command(flatten)]
    written: Written,
}

/// Flags of every command that takes something away.
#[derive(Args, Debug, Clone)]
pub struct Consent {
    /// Do it without asking
    #[arg(short, long)]
    yes: bool,
}

/// How much of a plan is carried out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Carry out the plan
    None,
    /// Print the plan
    Client,
    /// Have the API server check it, and write nothing
    Server,
}

impl Writing {
    /// Whether anything is going to be written.
    pub fn is_real(&self) -> bool {
        self.dry_run == DryRun::None
    }

    /// Shows objects where that was asked for, in place of what was done to them.
    pub fn shows_objects(&self) -> bool {
        self.written.wanted()
    }

    /// Prints objects in the form that was asked for.
    pub fn print(&self, objects: &[Value]) -> Result<(), Error> {
        self.written.print(objects)
    }
}

impl Consent {
    /// Asks whether the plan is to be carried out, unless that was said, or nothing is going to be written. True if a person
    /// was asked: much may have happened until the answer.
    pub fn ask(&self, ui: &Ui, plan: &Plan, writing: &Writing) -> Result<bool, Error> {
        if self.yes || !writing.is_real() || plan.steps.is_empty() {
            return Ok(false);
        }
        let Some(person) = ui.person() else { return Err(missing(&["--yes"])) };
        plan.summary().iter().for_each(|line| talk_line(format_args!("{line}")));
        if person.confirm("Go on?", false)? {
            person.note(["--yes"]);
            return Ok(true);
        }
        Err(not_agreed())
    }
}

/// A person said no.
fn not_agreed() -> Error {
    Error::new(Kind::Failed, "not done: nothing was written")
}

impl Step {
    /// A step: `sign` is `+`, `~` or `-`, `object` its kind and name, `done` a participle.
    pub fn new(sign: char, object: &str, done: &str, change: Change) -> Self {
        let (what, done) = (object.to_owned(), format!("{object} {done}"));
        Self { sign, what, done, why: None, or_overtaken: false, change }
    }

    /// The same step, with its reason.
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// The same step, which is as good as done where the object is gone, or not what it was: a controller was faster.
    pub fn or_overtaken(self) -> Self {
        Self { or_overtaken: true, ..self }
    }

    /// How it is shown before it is done.
    pub fn line(&self) -> String {
        let why = self.why.as_ref().map_or(String::new(), |why| format!("   # {why}"));
        format!("{} {}{why}", self.sign, self.what)
    }

    /// What is needed for it, where RBAC refuses.
    fn asked(&self) -> Asked {
        let verb = match &self.change {
            Change::Create { .. } => "create",
            Change::Patch { .. } => "patch",
            Change::Delete { .. } => "delete",
            Change::Read { .. } => "get",
            Change::Survey { .. } => "list",
        };
        let Target { resource, namespace, .. } = self.change.target();
        let part = match &self.change {
            Change::Patch { subresource: Some(part), .. } => format!("/{part}"),
            _ => String::new(),
        };
        let name = [resource.plural, resource.group].join(".");
        let resource = format!("{}{part}", name.trim_end_matches('.'));
        Asked { verb, resource, namespace: Some(namespace.clone()).filter(|namespace| !namespace.is_empty()) }
    }

    /// What the reply means for the person who waits for it.
    fn read(&self, reply: Reply) -> Result<Done, Error> {
        let failed = |message: String| {
            Error::new(Kind::Failed, format!("cannot write {}", self.what)).caused_by(message)
        };
        match reply {
            Reply::Object(object) => Ok(Done::Object(object)),
            Reply::Deleted => Ok(Done::Gone),
            // What is to go, and went by itself, has gone.
            Reply::NotFound if matches!(self.change, Change::Delete { .. }) => Ok(Done::Gone),
            Reply::NotFound | Reply::NotServed if self.or_overtaken => Ok(Done::Overtaken),
            Reply::NotFound if matches!(self.change, Change::Create { .. }) => {
                let namespace = &self.change.target().namespace;
                Err(failed(format!("there is no namespace {namespace}"))
                    .hint("`kubectl get namespaces` lists them; nothing was written"))
            }
            Reply::GuardFailed { message } if self.or_overtaken && is_lost_race(&message) => Ok(Done::Overtaken),
            Reply::NotFound | Reply::NotServed => Err(failed("there is no such object, or its kind is not installed".into())
                .hint("`kubectl get ippools,ipclaims` shows what there is; `kubectl ipam install | kubectl apply --server-side --force-conflicts -f -` installs the kinds")),
            Reply::AlreadyExists => Err(failed("it exists already".into())),
            Reply::Refused { code: 403, message } => Err(failed(message).hint(self.asked().permission())),
            Reply::GuardFailed { message } if is_lost_race(&message) => {
                Err(failed(message).hint("somebody changed it meanwhile, and it was not written: look, and try again"))
            }
            Reply::GuardFailed { message } | Reply::Refused { message, .. } | Reply::NotNow { message, .. } => {
                Err(failed(message))
            }
            Reply::Unknown { message } if message.contains("failed calling webhook") => Err(failed(message)
                .hint("admission did not answer, so it was not written; `kubectl ipam version` shows whether a controller runs")),
            Reply::Unknown { message } => {
                Err(failed(message).hint("it may have been written: look before you try again"))
            }
        }
    }
}

/// Whether a guard failed as the object is not what it was, and not as what it would become is not valid.
fn is_lost_race(message: &str) -> bool {
    !message.contains(" is invalid: ")
}

impl Plan {
    /// One plan of several, one after the other.
    pub fn of(plans: &[Self]) -> Self {
        Self { steps: plans.iter().flat_map(|plan| plan.steps.iter().cloned()).collect() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Adds a step: `sign` is `+`, `~` or `-`, `object` its kind and name, `done` a participle.
    pub fn step(&mut self, sign: char, object: &str, done: &str, change: Change) {
        self.steps.push(Step::new(sign, object, done, change));
    }

    /// Adds a step.
    pub fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// The steps as they are shown.
    pub fn lines(&self) -> Vec<String> {
        self.steps.iter().map(Step::line).collect()
    }

    /// Shows it to a person, and asks whether it is to be carried out: what only adds something, with yes for an answer.
    pub fn agree(&self, person: &Person<'_>, question: &str) -> Result<(), Error> {
        self.lines().iter().for_each(|line| talk_line(format_args!("{line}")));
        if person.confirm(question, true)? { Ok(()) } else { Err(not_agreed()) }
    }

    /// As much of it as a screen holds.
    fn summary(&self) -> Vec<String> {
        const SHOWN: usize = 40;
        let mut lines = self.lines();
        let hidden = self.steps.get(SHOWN..).unwrap_or_default();
        lines.truncate(SHOWN);
        if !hidden.is_empty() {
            let deletions = match hidden.iter().filter(|step| step.sign == '-').count() {
                0 => String::new(),
                count => format!(", {count} of them take something away"),
            };
            let more = plural(hidden.len(), "write");
            lines.push(format!("… and {more} more{deletions}; --dry-run shows all"));
        }
        lines
    }

    /// Shows the plan or carries it out, and says on stdout what was done. None if nothing was meant to be kept, else
    /// the objects as they are now.
    pub async fn carry_out(
        self,
        ui: &Ui,
        cluster: &Cluster,
        writing: &Writing,
    ) -> Result<Option<Vec<Value>>, Error> {
        let applier = match writing.dry_run {
            DryRun::Client => return self.show(writing).map(|()| None),
            DryRun::Server => cluster.applier.clone().on_trial(),
            DryRun::None => cluster.applier.clone(),
        };
        if writing.is_real() {
            write_on();
        }
        let (progress, mut objects) = (ui.progress(self.steps.len()), Vec::new());
        let mut left: Vec<&Target> = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            // What was left alone as it changed stays so: the rest of the plan for it was made of what it was.
            if step.or_overtaken && left.contains(&step.change.target()) {
                progress.step(|| {});
                continue;
            }
            if writing.is_real() {
                interrupt::under_way(&step.what);
            }
            let read = step.read(applier.carry_out(&step.change).await);
            let before = (at > 0 && writing.is_real())
                .then(|| format!("{at} of {} were done and stay", plural(self.steps.len(), "write")));
            let done = read.map_err(|error| error.maybe_hint(before))?;
            progress.step(|| writing.tell(step, &done));
            if let Done::Overtaken = done {
                left.push(step.change.target());
            }
            interrupt::answered();
            if let Done::Object(object) = done {
                objects.push(*object);
            }
        }
        if writing.is_real() {
            return Ok(Some(objects));
        }
        writing.print(&objects).map(|()| None)
    }

    /// Shows the plan; what it would create, whole, where objects are wanted.
    fn show(&self, writing: &Writing) -> Result<(), Error> {
        if !writing.shows_objects() {
            self.lines().iter().for_each(|step| line(format_args!("{step}")));
            return Ok(());
        }
        let created: Vec<Value> = self.steps.iter().filter_map(|step| created(&step.change)).collect();
        if created.len() < self.steps.len() {
            return Err(Error::new(
                Kind::Usage,
                "only what is created can be shown without asking the API server",
            )
            .hint("--dry-run=server shows objects as they would be"));
        }
        writing.print(&created)
    }
}

impl Writing {
    fn tell(&self, step: &Step, done: &Done) {
        if matches!(done, Done::Overtaken) {
            talk_line(format_args!("{} left alone: it changed meanwhile", step.what));
            return;
        }
        if self.is_real() {
            interrupt::note(&step.done);
        }
        let suffix = if self.dry_run == DryRun::Server { " (server dry run)" } else { "" };
        if !self.shows_objects() {
            line(format_args!("{}{suffix}", step.done));
        }
    }
}

/// The object of a creation, as it could be applied.
fn created(change: &Change) -> Option<Value> {
    let Change::Create { target, object } = change else { return None };
    let mut metadata = json!({"name": target.name, "namespace": target.namespace});
    if let (Some(metadata), Some(more)) = (metadata.as_object_mut(), object["metadata"].as_object()) {
        metadata.extend(more.clone());
    }
    let (version, kind) = (target.resource.api_version(), target.resource.kind);
    Some(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": object["spec"]}))
}

#[cfg(test)]
mod tests {
    use ipam::api::Kind as ObjectKind;

    use super::*;

    fn deletion() -> Step {
        let target =
            Target { resource: ObjectKind::Pool.resource(), namespace: "ns".into(), name: "p".into() };
        Step::new(
            '-',
            "ippool.ipam.metal3.io/p",
            "deleted",
            Change::Delete { target, uid: Some("u".into()), version: None },
        )
    }

    #[test]
    fn a_mend_that_a_controller_made_first_is_no_failure_and_a_refusal_is_one() {
        let failed = |message: &str| Reply::GuardFailed { message: message.into() };
        assert!(matches!(deletion().or_overtaken().read(Reply::NotFound), Ok(Done::Gone)));
        assert!(matches!(deletion().or_overtaken().read(failed("the UID differs")), Ok(Done::Overtaken)));
        assert!(deletion().or_overtaken().read(failed("IPPool \"p\" is invalid: spec: no")).is_err());
        assert!(matches!(deletion().read(Reply::NotFound), Ok(Done::Gone)));
        assert!(deletion().read(Reply::NotServed).is_err());
    }

    #[test]
    fn what_a_summary_does_not_show_is_counted_with_what_it_takes_away() {
        let mut plan = Plan::default();
        let step = |sign| Step { sign, ..deletion() };
        (0..40).for_each(|_| plan.add(step('~')));
        assert_eq!(plan.summary().len(), 40);
        for sign in ['~', '-', '-'] {
            plan.add(step(sign));
        }
        let last = plan.summary().pop();
        assert_eq!(
            last.as_deref(),
            Some("… and 3 writes more, 2 of them take something away; --dry-run shows all")
        );
    }

    #[test]
    fn what_rbac_refuses_is_named_with_its_subresource() {
        let Change::Delete { target, .. } = deletion().change else { panic!("it is a deletion") };
        let change = Change::Patch { target, subresource: Some("status"), ops: Vec::new() };
        let step = Step::new('~', "ippool.ipam.metal3.io/p", "indexed", change);
        let refused = step
            .read(Reply::Refused { code: 403, message: "forbidden".into() })
            .err()
            .map(|error| error.report());
        assert_eq!(
            refused.as_deref(),
            Some(
                "error: cannot write ippool.ipam.metal3.io/p\n  because: forbidden\nhint: your account needs the verb `patch` on \
                 `ippools.ipam.metal3.io/status` in namespace ns\n"
            )
        );
    }
}
