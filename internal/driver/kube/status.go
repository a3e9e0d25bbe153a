package kube

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// stateOf is the state of a pod's container, as far as the kubelet has told.
func stateOf(pod *corev1.Pod) (status corev1.ContainerStatus, known bool) {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == containerName {
			return s, true
		}
	}
	return corev1.ContainerStatus{}, false
}

// serves reports a pod that can be adopted.
func serves(pod *corev1.Pod) bool {
	s, known := stateOf(pod)
	return known && s.State.Running != nil && pod.DeletionTimestamp == nil
}

// started reports whether a pod's container exists, or why it never will: an error
// that wraps driver.ErrNoImage when the image is at fault.
func (d *Driver) started(pod *corev1.Pod, deleted bool, image string) (bool, error) {
	s, known := stateOf(pod)
	switch state := s.State; {
	case deleted, pod.DeletionTimestamp != nil:
		return false, fault.New(fault.Unavailable, "pod %s was deleted by somebody else before it ran", pod.Name)
	case known && state.Waiting != nil:
		return false, imageTrouble(image, pod.Spec.NodeName, state.Waiting)
	case known && state.Terminated != nil && neverRan(state.Terminated.Reason):
		return false, d.startFailure(pod, image, state.Terminated.Message)
	case known && (state.Running != nil && pod.Status.PodIP != "" || state.Terminated != nil):
		return true, nil
	case pod.Status.Phase == corev1.PodFailed:
		return false, fault.New(fault.Unavailable, "pod %s was not taken by node %s: %s: %s", pod.Name, pod.Spec.NodeName, pod.Status.Reason, bounded(pod.Status.Message))
	}
	return false, nil
}

// neverRan reports the reasons of containers whose program was never started.
func neverRan(reason string) bool { return reason == "StartError" || reason == "ContainerCannotRun" }

// imageTrouble is what the kubelet says of an image that it cannot have, nil when it
// waits for something else.
func imageTrouble(image, node string, w *corev1.ContainerStateWaiting) error {
	message := bounded(w.Message)
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable":
		return noImage(image, "node %s does not have it and cannot pull it: %s", node, message)
	case "ErrImageNeverPull":
		return noImage(image, "node %s does not have it, and it is not of a registry: load it on every node (%s)", node, message)
	case "InvalidImageName":
		return noImage(image, "that is no name of an image (%s)", message)
	case "ImageInspectError", "SignatureValidationFailed":
		return noImage(image, "node %s refuses it: %s", node, message)
	}
	if programTrouble(message) {
		return noImage(image, "its program cannot be started (%s)", message)
	}
	return nil
}

// startFailure explains why a program was never started.
func (d *Driver) startFailure(pod *corev1.Pod, image, message string) error {
	message = bounded(message)
	program := ""
	if args := pod.Spec.Containers[0].Args; len(args) > 0 {
		program = args[0]
	}
	if programTrouble(message) {
		return noImage(image,
			"its program cannot be started (%s); an image without ENTRYPOINT must have a program named %q, and an ENTRYPOINT must name a program that is in the image, is executable, and is made for the node's machine", message, program)
	}
	return fault.New(fault.Internal, "a container of image %q cannot be started on node %s: %s", image, pod.Spec.NodeName, message)
}

// programTrouble tells, from the words of container runtimes, whether the image is at
// fault.
func programTrouble(message string) bool {
	for _, words := range []string{"executable file not found", "no such file or directory", "permission denied", "exec format error", "no command specified"} {
		if strings.Contains(message, words) && (strings.Contains(message, "exec") || words == "no command specified") {
			return true
		}
	}
	return false
}

// noImage is an image that is at fault.
func noImage(name, format string, args ...any) error {
	return fault.Wrap(fault.Invalid, driver.ErrNoImage, "image %q cannot be run: %s", name, fmt.Sprintf(format, args...))
}

// ended reports whether a pod has ended, and how. asked says that the server wanted
// it; what else takes a pod away loses the instance.
func ended(pod *corev1.Pod, deleted, asked bool) (exit driver.Exit, ok bool) {
	s, known := stateOf(pod)
	over := deleted || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	lost := driver.Exit{Code: -1, Lost: true}
	switch t := s.State.Terminated; {
	case known && t != nil:
		if !asked && (taken(pod) || t.Reason == "ContainerStatusUnknown") {
			return lost, true
		}
		exit = driver.ExitOfCode(int(t.ExitCode))
		exit.OOM = t.Reason == "OOMKilled"
		return exit, true
	case over && asked:
		return driver.Exit{Code: -1, Signal: "killed"}, true
	case over:
		return lost, true
	}
	return driver.Exit{}, false
}

// takers are the reasons of pods that were ended by a kubelet for its node's sake.
var takers = []string{"Evicted", "NodeShutdown", "Terminated", "NodeLost", "NodeAffinity", "Preempting"}

// taken reports a pod that is being taken away: evicted, preempted or deleted. Of a
// pod that the server itself deletes it means nothing.
func taken(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || slices.Contains(takers, pod.Status.Reason) ||
		slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
		})
}

// answers reports a node that is there and says that it is well.
func answers(node *corev1.Node) bool {
	return node != nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
