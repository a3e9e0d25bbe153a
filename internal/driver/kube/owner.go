package kube

import (
	"context"
	"math"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ownName is what the objects are called that stand for the server.
func (d *Driver) ownName() string { return "sagebrush-" + d.owner[:8] }

// anchor gives the config map that all pods of this server belong to, as a controller,
// and makes it when it is not there. With it goes all that the server has: the
// cluster's garbage collection follows.
func (d *Driver) anchor(ctx context.Context) (metav1.OwnerReference, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	maps := d.clients.anchors
	have, err := maps.Get(ctx, d.ownName(), metav1.GetOptions{})
	for tries := 0; apierrors.IsNotFound(err) && tries < 2; tries++ {
		have, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: d.ownName(), Labels: map[string]string{labelOwner: d.owner}},
			Data: map[string]string{
				"about": "The pods of a Sagebrush server belong to this config map. Deleting it deletes them.",
				"owner": d.config.Owner,
			},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // another start was faster
			have, err = maps.Get(ctx, d.ownName(), metav1.GetOptions{})
		}
	}
	if err != nil {
		return metav1.OwnerReference{}, d.failure(err, "the config map %s/%s cannot be had", d.namespace, d.ownName())
	}
	yes := true
	return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: have.Name, UID: have.UID, Controller: &yes}, nil
}

// protect has evictions of held instances refused, so that who drains a node asks
// again until their replacements serve. A number that is never reached says so of pods
// that no workload of Kubernetes' own stands behind; maxUnavailable is not for them.
func (d *Driver) protect(ctx context.Context, anchor metav1.OwnerReference) error {
	ctx, cancel := call(ctx)
	defer cancel()
	budgets := d.clients.budgets
	_, err := budgets.Get(ctx, d.ownName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		all := intstr.FromInt32(math.MaxInt32)
		_, err = budgets.Create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{
				Name: d.ownName(), Labels: map[string]string{labelOwner: d.owner}, OwnerReferences: []metav1.OwnerReference{anchor},
			},
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: &all,
				Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{labelOwner: d.owner, labelHeld: "true"}},
			},
		}, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return d.failure(err, "the disruption budget %s/%s cannot be had", d.namespace, d.ownName())
	}
	return nil
}
