package kube

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// create makes a pod. What an earlier one of the same name left is deleted, unless it
// runs as the instance id.
func (d *Driver) create(ctx context.Context, id string, pod *corev1.Pod) (*corev1.Pod, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	pods := d.clients.pods
	for {
		made, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		if err == nil {
			return made, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			// It may have been made although no answer came.
			d.undo(pod)
			return nil, d.failure(err, "pod %s cannot be made", pod.Name)
		}
		old, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, d.failure(err, "pod %s cannot be looked at", pod.Name)
		case serves(old):
			return nil, fault.New(fault.Exists, "instance %s is running already", id)
		case old.DeletionTimestamp == nil:
			if err := d.deletePod(ctx, old, 1); err != nil {
				return nil, err
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, d.failure(ctx.Err(), "an earlier pod %s does not go", pod.Name)
		}
	}
}

// undo deletes what a call may have made before it was cut off.
func (d *Driver) undo(pod *corev1.Pod) {
	ctx, cancel := call(context.WithoutCancel(d.life))
	defer cancel()
	if err := d.clients.pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		d.log.Warn("a pod that may have been made cannot be deleted", "pod", pod.Name, "error", err)
	}
}

// await looks at the pod whenever there is news until verdict says yes or why not. A
// pod for which there is no room for long, or whose node gets nowhere, is an error of
// the kind fault.Unavailable.
func (s *sight) await(ctx context.Context, verdict func(pod *corev1.Pod, deleted bool) (bool, error)) error {
	room, start := time.NewTimer(s.d.limits.room), time.NewTimer(s.d.limits.start)
	defer room.Stop()
	defer start.Stop()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		pod, deleted := s.look()
		if ok, err := verdict(pod, deleted); ok || err != nil {
			return err
		}
		select {
		case <-s.news:
		case <-again.C:
			s.refresh(ctx)
			if err := s.d.complaint(ctx, pod); err != nil {
				return err
			}
		case <-room.C:
			if why := unscheduled(pod); why != "" {
				return fault.New(fault.Unavailable, "no node of the cluster has room for pod %s: %s", pod.Name, bounded(why))
			}
		case <-start.C:
			return fault.New(fault.Unavailable, "pod %s was not started by node %s within %v; `kubectl describe pod` tells what it waits for", pod.Name, pod.Spec.NodeName, s.d.limits.start)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unscheduled is what the scheduler says of a pod without a node, "" when it has one.
func unscheduled(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return ""
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue && c.Message != "" {
			return c.Message
		}
	}
	return "it is not scheduled; does the scheduler run?"
}

// complaint is what a node says of volumes that it cannot mount, which no status tells.
func (d *Driver) complaint(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := call(ctx)
	defer cancel()
	said, err := d.clients.events.List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(pod.UID) + ",reason=FailedMount"})
	if err != nil || len(said.Items) == 0 {
		return nil // it goes on being started, or runs into its limit
	}
	last := said.Items[len(said.Items)-1]
	return fault.New(fault.Internal, "node %s cannot give pod %s its folders: %s; %s", pod.Spec.NodeName, pod.Name, bounded(last.Message), d.volumes.advice())
}
