package kube

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// Labels of everything that the driver makes.
const (
	labelOwner    = "sagebrush.owner"    // the hash of Config.Owner
	labelInstance = "sagebrush.instance" // the Spec's ID
	labelHeld     = "sagebrush.held"     // "true" for held instances
	noteImage     = "sagebrush.image"    // an annotation: the Spec's image, for people
)

// port is where a container listens (CC-20).
const port = 8080

// envPort tells it so (CC-43).
const envPort = "SAGEMAKER_BIND_TO_PORT"

// containerName is what every pod's one container is called.
const containerName = "model"

// keptCapabilities are what servers need that start as root and hand their work
// to another user, as nginx does: open and give away files, change the user, and
// signal the processes of that user.
var keptCapabilities = []corev1.Capability{"CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID"}

// unreachable is how many seconds a node may not answer before its pods are lost.
const unreachable = 30

// name is what the pod of an instance is called.
func (d *Driver) name(id string) string { return "sagebrush-" + d.owner[:8] + "-" + id }

// podOf makes the pod of an instance: the image's own entry point with the Spec's
// arguments (CC-1).
func (d *Driver) podOf(spec driver.Spec, image startable, anchor metav1.OwnerReference) (*corev1.Pod, error) {
	pod := d.barePod(d.name(spec.ID), image, anchor)
	pod.Labels[labelInstance] = spec.ID
	if spec.Held {
		pod.Labels[labelHeld] = "true"
	}
	pod.Annotations = map[string]string{noteImage: spec.Image}
	pod.Spec.Hostname = spec.Hostname
	d.describe(pod, spec.Labels)
	c := &pod.Spec.Containers[0]
	c.Args = literals(spec.Args)
	env := maps.Clone(spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	env[envPort] = strconv.Itoa(port)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		c.Env = append(c.Env, corev1.EnvVar{Name: key, Value: literal(env[key])})
	}
	c.Ports = []corev1.ContainerPort{{ContainerPort: port}}
	c.Resources = d.bounds(spec)
	if spec.ShmBytes > 0 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "shm", VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(spec.ShmBytes, resource.BinarySI)}}})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "shm", MountPath: "/dev/shm"})
	}
	return pod, d.volumes.mount(&pod.Spec, folders(spec))
}

// barePod is what all pods of the driver have in common: they may do what containers
// of the Docker driver may, and have no account of the cluster.
func (d *Driver) barePod(name string, image startable, anchor metav1.OwnerReference) *corev1.Pod {
	no, seconds := false, int64(unreachable)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: d.namespace, Labels: map[string]string{labelOwner: d.owner},
			OwnerReferences: []metav1.OwnerReference{anchor},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			EnableServiceLinks:           &no,
			AutomountServiceAccountToken: &no,
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
			},
			Containers: []corev1.Container{{
				Name: containerName, Image: image.name, ImagePullPolicy: image.pull,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no,
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: keptCapabilities},
					SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
			}},
		},
	}
}

// describe tells whoever looks at the cluster what a pod is, and has the scheduler
// spread those of the same description over the nodes.
func (d *Driver) describe(pod *corev1.Pod, labels map[string]string) {
	alike := map[string]string{labelOwner: d.owner}
	for key, value := range labels {
		if len(validation.IsValidLabelValue(value)) > 0 || len(validation.IsQualifiedName(key)) > 0 || pod.Labels[key] != "" {
			pod.Annotations[key] = value
			continue
		}
		pod.Labels[key], alike[key] = value, value
	}
	if len(alike) > 1 {
		pod.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: alike},
		}}
	}
}

// bounds are an instance's limits, and what is reserved for it.
func (d *Driver) bounds(spec driver.Spec) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Limits: corev1.ResourceList{}, Requests: corev1.ResourceList{}}
	set := func(name corev1.ResourceName, q *resource.Quantity) {
		r.Limits[name] = *q
		if r.Requests[name] = *q; !d.config.Reserve {
			r.Requests[name] = resource.Quantity{} // without it, the limit is reserved
		}
	}
	if spec.MemoryBytes > 0 {
		set(corev1.ResourceMemory, resource.NewQuantity(spec.MemoryBytes, resource.BinarySI))
	}
	if spec.CPUs > 0 {
		set(corev1.ResourceCPU, resource.NewMilliQuantity(max(1, int64(spec.CPUs*1000)), resource.DecimalSI))
	}
	return r
}

// literal keeps Kubernetes from taking $(NAME) in a value for a variable.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

func literals(texts []string) []string {
	out := make([]string, len(texts))
	for n, t := range texts {
		out[n] = literal(t)
	}
	return out
}

// addressOf is where a pod serves. One that ended at once may have none: nowhere
// refuses connections.
func addressOf(pod *corev1.Pod) string {
	switch ip := pod.Status.PodIP; {
	case ip == "":
		return "127.0.0.1:0"
	case strings.Contains(ip, ":"):
		return fmt.Sprintf("[%s]:%d", ip, port)
	default:
		return fmt.Sprintf("%s:%d", ip, port)
	}
}
