//! Removes an add-on from the cluster: which objects, in which order, and which stay because they hold data or do not belong to the add-on
//! alone.

use std::time::Duration;

use super::foreign;
use super::kept::{AddonState, KeptAddon, ObjectName};
use crate::addon_data::AddonData;
use crate::kubectl::Kubectl;
use crate::step_progress::StepProgress;
use crate::wait::{Look, until};

/// Pods end within 30 s by default, and a namespace goes after them.
const LIMIT: Duration = Duration::from_mins(3);

/// The objects of an add-on that are removed, and those that stay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// To remove first, while the add-on's pods run: objects that call these pods, and objects that these pods look after.
    pub first: Vec<ObjectName>,
    /// The others, in the order of deletion.
    pub rest: Vec<ObjectName>,
    /// The objects that stay, each with the reason.
    pub stays: Vec<(ObjectName, String)>,
}

/// Decides about the objects of `kept`. `others` are the lists of add-ons that stay; `foreign` says what else is in a namespace, or has a
/// kind that the add-on defined.
///
/// # Errors
/// The errors of `foreign`.
pub fn decide(
    kept: &KeptAddon,
    others: &[&KeptAddon],
    data: AddonData,
    foreign: impl Fn(&ObjectName) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Removal> {
    let mut removal = Removal::default();
    let is_of_another =
        |object: &ObjectName| others.iter().any(|other| other.objects.iter().any(|one| one.is_same(object)));
    let mut ranked: Vec<_> = kept.objects.iter().rev().filter(|object| !is_of_another(object)).collect();
    ranked.sort_by_key(|object| rank(object, kept));
    for object in ranked {
        let reason = match (data, object.kind.as_str()) {
            (AddonData::Deleted, _) => None,
            (_, "PersistentVolumeClaim" | "PersistentVolume") => Some("it holds data".to_owned()),
            (_, "Namespace") if has_what_stays(object, &removal) => Some("it has what stays".to_owned()),
            (_, "Namespace" | "CustomResourceDefinition") => foreign(object)?,
            _ => None,
        };
        match reason {
            Some(reason) => removal.stays.push((object.clone(), reason)),
            None if rank(object, kept) < Rank::Plain => removal.first.push(object.clone()),
            None => removal.rest.push(object.clone()),
        }
    }
    Ok(removal)
}

fn has_what_stays(namespace: &ObjectName, removal: &Removal) -> bool {
    removal.stays.iter().any(|(object, _)| object.namespace.as_deref() == Some(namespace.name.as_str()))
}

/// The rank of an object in the order of deletion.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Makes the API server call the add-on's pods; once they are gone, the API server would refuse requests.
    CallsPods,
    /// Of a kind that the add-on defines: its pods may have to release it.
    OwnKind,
    Plain,
    Definition,
    Namespace,
}

fn rank(object: &ObjectName, kept: &KeptAddon) -> Rank {
    match object.kind.as_str() {
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" | "APIService" => Rank::CallsPods,
        "CustomResourceDefinition" => Rank::Definition,
        "Namespace" => Rank::Namespace,
        _ if is_of_own_kind(object, kept) => Rank::OwnKind,
        _ => Rank::Plain,
    }
}

/// The name of a definition is `PLURAL.GROUP`.
fn is_of_own_kind(object: &ObjectName, kept: &KeptAddon) -> bool {
    let definitions = kept.objects.iter().filter(|other| other.kind == "CustomResourceDefinition");
    let mut groups = definitions.filter_map(|definition| definition.name.split_once('.'));
    groups.any(|(_, group)| group == object.group())
}

/// Removes the objects of `kept` from the cluster. Returns those that stay.
pub fn remove(
    api: &Kubectl<'_>,
    progress: &dyn StepProgress,
    kept: &KeptAddon,
    others: &[&KeptAddon],
    data: AddonData,
) -> anyhow::Result<Vec<ObjectName>> {
    let removal = decide(kept, others, data, |object| foreign::of(api, object, kept))?;
    for objects in [&removal.first, &removal.rest] {
        for object in objects {
            progress.detail(&format!("{}: deleting {object}", kept.name));
            api.delete(&object.to_object())?;
            tracing::info!(addon = kept.name, %object, "object deleted");
        }
        wait_until_gone(api, progress, &kept.name, objects)?;
    }
    for (object, reason) in &removal.stays {
        progress.remark(&format!("{object} of {} stays: {reason}; `kinstall run --prune-data` deletes it", kept.name));
    }
    Ok(removal.stays.into_iter().map(|(object, _)| object).collect())
}

fn wait_until_gone(
    api: &Kubectl<'_>,
    progress: &dyn StepProgress,
    addon: &str,
    objects: &[ObjectName],
) -> anyhow::Result<()> {
    until(progress, &format!("the objects of {addon} to go"), LIMIT, || {
        for object in objects {
            if api.has_object(&object.to_object())? {
                return Ok(Look::NotYet(format!("{object} is there still")));
            }
        }
        Ok(Look::Ready(()))
    })
}

/// The list to keep if `stays` is left of an add-on; `None` if nothing is left.
#[must_use]
pub fn remainder(kept: &KeptAddon, stays: Vec<ObjectName>) -> Option<KeptAddon> {
    (!stays.is_empty()).then(|| KeptAddon { state: AddonState::Removed, objects: stays, ..kept.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kbundle_format::Digest;

    fn object(kind: &str, name: &str) -> ObjectName {
        let (api_version, namespace) = match kind {
            "Pool" => ("example.org/v1", Some("ns")),
            "CustomResourceDefinition" | "Namespace" | "APIService" => ("x/v1", None),
            _ => ("v1", Some("ns")),
        };
        ObjectName {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        }
    }

    fn kept(name: &str, objects: &[(&str, &str)]) -> KeptAddon {
        KeptAddon {
            name: name.into(),
            version: "1".into(),
            state: AddonState::Applied,
            digest: Digest::of(b""),
            objects: objects.iter().map(|(kind, name)| object(kind, name)).collect(),
        }
    }

    const WHOLE: [(&str, &str); 6] = [
        ("Namespace", "ns"),
        ("CustomResourceDefinition", "pools.example.org"),
        ("Service", "s"),
        ("Deployment", "d"),
        ("APIService", "v1.example.org"),
        ("Pool", "p"),
    ];

    fn decided(objects: &[(&str, &str)], data: AddonData, foreign: Option<&str>) -> [Vec<String>; 3] {
        let foreign = |_: &ObjectName| Ok(foreign.map(str::to_owned));
        let removal = decide(&kept("a", objects), &[], data, foreign).unwrap();
        let names = |objects: &[ObjectName]| objects.iter().map(|object| object.name.clone()).collect::<Vec<_>>();
        let stays = removal.stays.iter().map(|(object, reason)| format!("{}: {reason}", object.name)).collect();
        [names(&removal.first), names(&removal.rest), stays]
    }

    #[test]
    fn what_pods_look_after_goes_before_them_and_namespaces_go_last() {
        let [first, rest, stays] = decided(&WHOLE, AddonData::Kept, None);
        assert_eq!(first, ["v1.example.org", "p"]);
        assert_eq!(rest, ["d", "s", "pools.example.org", "ns"]);
        assert_eq!(stays, [""; 0]);
    }

    #[test]
    fn what_others_use_stays() {
        let [_, rest, stays] = decided(&WHOLE, AddonData::Kept, Some("others use it"));
        assert_eq!(rest, ["d", "s"]);
        assert_eq!(stays, ["pools.example.org: others use it", "ns: others use it"]);
        let other = kept("b", &[("Namespace", "ns"), ("Service", "s")]);
        let removal = decide(&kept("a", &WHOLE), &[&other], AddonData::Deleted, |_| Ok(None)).unwrap();
        let gone: Vec<_> = removal.rest.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(gone, ["d", "pools.example.org"]);
        assert_eq!(removal.stays, []);
    }

    #[test]
    fn data_goes_only_when_it_is_asked_for() {
        let objects = [("Namespace", "ns"), ("PersistentVolumeClaim", "data"), ("Deployment", "d")];
        let [_, rest, stays] = decided(&objects, AddonData::Kept, None);
        assert_eq!(rest, ["d"]);
        assert_eq!(stays, ["data: it holds data", "ns: it has what stays"]);
        let [_, rest, stays] = decided(&objects, AddonData::Deleted, Some("others use it"));
        assert_eq!(rest, ["d", "data", "ns"]);
        assert_eq!(stays, [""; 0]);
    }

    #[test]
    fn what_stays_is_known_afterwards() {
        let whole = kept("a", &WHOLE);
        assert_eq!(remainder(&whole, Vec::new()), None);
        let left = remainder(&whole, vec![object("Namespace", "ns")]).unwrap();
        assert_eq!((left.state, left.objects.len()), (AddonState::Removed, 1));
    }
}
