package kube

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Sweep implements driver.Driver. Pods that do not run are deleted even if they are
// in keep, because nobody can adopt them. An API server that does not answer is no
// error: it is swept before anything else is asked of it.
func (d *Driver) Sweep(ctx context.Context, keep []string) error {
	err := d.sweep(ctx, keep)
	if !fault.Is(err, fault.Unavailable) {
		return err
	}
	d.mu.Lock()
	d.unswept = append([]string{}, keep...)
	d.mu.Unlock()
	d.log.Warn("the Kubernetes cluster is looked through for leftovers when it answers", "error", err)
	return nil
}

// settle does what Sweep could not.
func (d *Driver) settle(ctx context.Context) error {
	d.settling.Lock()
	defer d.settling.Unlock()
	d.mu.Lock()
	keep := d.unswept
	d.mu.Unlock()
	if keep == nil {
		return nil
	}
	if err := d.sweep(ctx, keep); err != nil {
		return err
	}
	d.mu.Lock()
	d.unswept = nil
	d.mu.Unlock()
	return nil
}

func (d *Driver) sweep(ctx context.Context, keep []string) error {
	found, err := d.list(ctx, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, pod := range found {
		d.mu.Lock()
		_, seen := d.sights[pod.Name]
		d.mu.Unlock()
		if seen || pod.DeletionTimestamp != nil || serves(&pod) && slices.Contains(keep, pod.Labels[labelInstance]) {
			continue
		}
		d.log.Info("deleting a pod that was left", "pod", pod.Name, "phase", pod.Status.Phase)
		errs = append(errs, d.deletePod(ctx, &pod, 1))
	}
	return errors.Join(errs...)
}

// list gives the pods of one instance, or with "" of this owner.
func (d *Driver) list(ctx context.Context, id string) ([]corev1.Pod, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	selector := labelOwner + "=" + d.owner
	if id != "" {
		selector += "," + labelInstance + "=" + id
	}
	found, err := d.clients.pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, d.failure(err, "the pods of this server cannot be listed")
	}
	return found.Items, nil
}

// deletePod has a pod end within so many seconds; with 0 it is forgotten at once,
// whatever becomes of it. One that is gone is fine.
func (d *Driver) deletePod(ctx context.Context, pod *corev1.Pod, seconds int64) error {
	ctx, cancel := call(ctx)
	defer cancel()
	err := d.clients.pods.Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &seconds, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // a conflict is another pod of the name
		return nil
	}
	return d.failure(err, "pod %s cannot be deleted", pod.Name)
}
