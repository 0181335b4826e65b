//! Which API versions of stored objects Kubernetes removes in which minor version, from 1.25 on.
//!
//! Source: the functions `APILifecycleRemoved` in `zz_generated.prerelease-lifecycle.go` of <https://github.com/kubernetes/api>, v0.25.2
//! and v0.36.3, which the API server obeys (`staging/src/k8s.io/apiserver/pkg/server/deleted_kinds.go`).
//! <https://kubernetes.io/docs/reference/using-api/deprecation-guide/> has the same for people. Left out are kinds that are not stored,
//! such as reviews and evictions, and events, which last an hour.

/// The first minor version of Kubernetes 1 without the API, group and version, kinds.
const REMOVED: &[(u16, &str, &[&str])] = &[
    (25, "autoscaling/v2beta1", &["HorizontalPodAutoscaler"]),
    (25, "batch/v1beta1", &["CronJob"]),
    (25, "discovery.k8s.io/v1beta1", &["EndpointSlice"]),
    (25, "node.k8s.io/v1beta1", &["RuntimeClass"]),
    (25, "policy/v1beta1", &["PodDisruptionBudget", "PodSecurityPolicy"]),
    (26, "autoscaling/v2beta2", &["HorizontalPodAutoscaler"]),
    (26, "flowcontrol.apiserver.k8s.io/v1beta1", FLOW_CONTROL),
    (27, "storage.k8s.io/v1beta1", &["CSIStorageCapacity"]),
    (29, "flowcontrol.apiserver.k8s.io/v1beta2", FLOW_CONTROL),
    (32, "admissionregistration.k8s.io/v1alpha1", VALIDATING),
    (32, "flowcontrol.apiserver.k8s.io/v1beta3", FLOW_CONTROL),
    (34, "admissionregistration.k8s.io/v1beta1", VALIDATING),
    (35, "storage.k8s.io/v1alpha1", &["VolumeAttributesClass"]),
    (37, "certificates.k8s.io/v1alpha1", &["ClusterTrustBundle"]),
    (37, "networking.k8s.io/v1beta1", &["IPAddress", "ServiceCIDR"]),
    (37, "storage.k8s.io/v1beta1", &["VolumeAttributesClass"]),
    (38, "admissionregistration.k8s.io/v1alpha1", MUTATING),
    (38, "coordination.k8s.io/v1alpha2", &["LeaseCandidate"]),
    (38, "resource.k8s.io/v1beta1", DEVICES),
    (39, "coordination.k8s.io/v1beta1", &["LeaseCandidate"]),
    (39, "resource.k8s.io/v1alpha3", &["DeviceTaintRule"]),
    (39, "resource.k8s.io/v1beta2", DEVICES),
    (40, "admissionregistration.k8s.io/v1beta1", MUTATING),
    (40, "certificates.k8s.io/v1beta1", &["ClusterTrustBundle"]),
    (41, "certificates.k8s.io/v1beta1", &["PodCertificateRequest"]),
    (41, "storagemigration.k8s.io/v1beta1", &["StorageVersionMigration"]),
    (42, "resource.k8s.io/v1alpha3", &["ResourcePoolStatusRequest"]),
    (42, "resource.k8s.io/v1beta2", &["DeviceTaintRule"]),
];
const FLOW_CONTROL: &[&str] = &["FlowSchema", "PriorityLevelConfiguration"];
const VALIDATING: &[&str] = &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
const MUTATING: &[&str] = &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"];
const DEVICES: &[&str] = &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"];

/// The first minor version without this API version of a kind; `None` if none is known.
#[must_use]
pub fn first_minor_without(api: &str, kind: &str) -> Option<(u16, u16)> {
    let row = REMOVED.iter().find(|(_, removed, kinds)| *removed == api && kinds.contains(&kind));
    row.map(|(minor, ..)| (1, *minor))
}

/// Whether some API version of a kind of this group is removed.
#[must_use]
pub fn has_removed_versions(group: &str, kind: &str) -> bool {
    REMOVED.iter().any(|(_, api, kinds)| group_of(api) == group && kinds.contains(&kind))
}

/// The group of `group/version`; empty for the core group, whose API versions have none.
#[must_use]
pub fn group_of(api: &str) -> &str {
    api.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_removed_for_the_kinds_that_it_had() {
        assert_eq!(first_minor_without("autoscaling/v2beta2", "HorizontalPodAutoscaler"), Some((1, 26)));
        assert_eq!(first_minor_without("autoscaling/v2", "HorizontalPodAutoscaler"), None);
        assert_eq!(first_minor_without("storage.k8s.io/v1beta1", "CSIStorageCapacity"), Some((1, 27)));
        assert_eq!(first_minor_without("storage.k8s.io/v1beta1", "VolumeAttributesClass"), Some((1, 37)));
        assert!(has_removed_versions("autoscaling", "HorizontalPodAutoscaler"));
        assert!(!has_removed_versions("", "Pod") && !has_removed_versions("apps", "Deployment"));
        assert_eq!([group_of("policy/v1"), group_of("v1")], ["policy", ""]);
    }

    #[test]
    fn minors_ascend_and_no_kind_is_removed_twice() {
        assert!(REMOVED.is_sorted_by_key(|(minor, api, _)| (*minor, *api)));
        let all = || REMOVED.iter().flat_map(|(_, api, kinds)| kinds.iter().map(move |kind| (*api, *kind)));
        assert_eq!(all().collect::<std::collections::BTreeSet<_>>().len(), all().count());
    }
}
