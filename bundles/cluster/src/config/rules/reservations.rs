//! Rules for the resources that the kubelet reserves for the host, and for the eviction of pods. Kubernetes' types for them are plain maps
//! of texts; the rules for these texts are from the kubelet's own validation (`pkg/kubelet/apis/config/validation`,
//! `pkg/kubelet/eviction/helpers.go`).

use serde_json::Value;

use super::Problems;
use crate::config::Fields;
use crate::kube_types::{is_duration, is_quantity};

const RESERVED: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pid"];
const SIGNALS: [&str; 9] = [
    "memory.available",
    "allocatableMemory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
];

pub(super) fn check(place: &str, config: &Fields, problems: &mut Problems) {
    for field in ["systemReserved", "kubeReserved"] {
        let what = "a resource such as `500m` or `1Gi`";
        each(place, config, field, &RESERVED, (is_quantity, what), problems);
    }
    for field in ["evictionHard", "evictionSoft", "evictionMinimumReclaim"] {
        let what = "a quantity or a part, such as `500Mi` or `10%`";
        each(place, config, field, &SIGNALS, (is_quantity_or_part, what), problems);
    }
    each(place, config, "evictionSoftGracePeriod", &SIGNALS, (is_duration, "a time such as `1m30s`"), problems);
    let texts = |field: &str| config.get(field).and_then(Value::as_object).into_iter().flatten();
    for (signal, _) in texts("evictionSoft") {
        if !texts("evictionSoftGracePeriod").any(|(known, _)| known == signal) {
            let message =
                format!("evictionSoft has `{signal}`, and evictionSoftGracePeriod has not; the kubelet needs both");
            problems.add(format!("{place}.evictionSoft.{signal}"), message);
        }
    }
}

fn each(
    place: &str,
    config: &Fields,
    field: &str,
    known: &[&str],
    (fits, what): (fn(&str) -> bool, &str),
    problems: &mut Problems,
) {
    for (key, value) in config.get(field).and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}.{field}.{key}");
        if !known.contains(&key.as_str()) {
            problems.add(&place, format!("{field} has `{key}`, not one of {}", known.join(", ")));
        } else if let Some(text) = value.as_str().filter(|text| !fits(text)) {
            problems.add(&place, format!("{field} has `{key}: {text}`, which is not {what}"));
        }
    }
}

fn is_quantity_or_part(text: &str) -> bool {
    let part =
        text.strip_suffix('%').map(|number| number.parse::<f32>().is_ok_and(|part| (0.0..=100.0).contains(&part)));
    part.unwrap_or_else(|| is_quantity(text))
}
