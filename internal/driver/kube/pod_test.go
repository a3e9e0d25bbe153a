package kube

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// quiet is a driver that talks to nobody.
func quiet(t *testing.T, volumes string, change ...func(*Config)) *Driver {
	t.Helper()
	c := Config{Owner: "o", Data: "/data", Volumes: volumes}
	for _, f := range change {
		f(&c)
	}
	v, err := parseVolumes(c.Volumes, c.Data)
	if err != nil {
		t.Fatal(err)
	}
	return newDriver(c, connection{namespace: "models"}, v)
}

func TestPod(t *testing.T) {
	t.Parallel()
	for _, reserve := range []bool{false, true} {
		d := quiet(t, "host", func(c *Config) { c.Reserve = reserve })
		pod, err := d.podOf(driver.Spec{
			ID: "i", Image: "an/image:1", Args: []string{"serve", "$(HOME)"}, Env: map[string]string{"A": "$(B) $$"}, Hostname: "h",
			MemoryBytes: 1 << 30, CPUs: 1.5, ShmBytes: 1 << 20, Held: true,
			Labels: map[string]string{"sagebrush.endpoint": "e", "sagebrush.owner": "somebody", "sagebrush.long": strings.Repeat("x", 64)},
		}, startable{"an/image@sha256:0", corev1.PullIfNotPresent}, metav1.OwnerReference{Name: "anchor"})
		if err != nil {
			t.Fatal(err)
		}
		c := pod.Spec.Containers[0]
		if pod.Namespace != "models" || pod.Name != "sagebrush-"+d.owner[:8]+"-i" || pod.OwnerReferences[0].Name != "anchor" || c.Image != "an/image@sha256:0" {
			t.Errorf("pod %+v", pod.ObjectMeta)
		}
		if l := pod.Labels; l[labelOwner] != d.owner || l[labelInstance] != "i" || l[labelHeld] != "true" || l["sagebrush.endpoint"] != "e" || len(pod.Annotations["sagebrush.long"]) != 64 {
			t.Errorf("labels %v, annotations %v", l, pod.Annotations)
		}
		if c.Args[1] != "$$(HOME)" || c.Env[0].Value != "$$(B) $$$$" || c.Env[1] != (corev1.EnvVar{Name: envPort, Value: "8080"}) {
			t.Errorf("arguments %q, environment %v", c.Args, c.Env)
		}
		if c.Resources.Limits.Memory().Value() != 1<<30 || c.Resources.Limits.Cpu().MilliValue() != 1500 || c.Resources.Requests.Memory().IsZero() == reserve || c.Resources.Requests.Cpu().IsZero() == reserve {
			t.Errorf("resources %+v", c.Resources)
		}
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || s.Capabilities.Drop[0] != "ALL" || *pod.Spec.AutomountServiceAccountToken || *pod.Spec.EnableServiceLinks || pod.Spec.RestartPolicy != corev1.RestartPolicyNever {
			t.Errorf("spec %+v", pod.Spec)
		}
		if spread := pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels; len(spread) != 2 || spread["sagebrush.endpoint"] != "e" {
			t.Errorf("spread over %v", spread)
		}
	}
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	s := driver.Spec{ID: "i", ModelDir: "/data/models/a", ModelsDir: "/data/work/i/models", WritableModel: true, ExtraDir: "/data/work/i/extra"}
	for _, setting := range []string{"host", "claim:shared"} {
		d := quiet(t, setting)
		pod, err := d.podOf(s, startable{}, metav1.OwnerReference{})
		if err != nil {
			t.Fatal(err)
		}
		mounts := pod.Spec.Containers[0].VolumeMounts
		if len(mounts) != 3 || mounts[0].ReadOnly || !mounts[2].ReadOnly || mounts[0].MountPath != driver.ModelPath {
			t.Errorf("%s: mounts %+v", setting, mounts)
		}
		switch v := pod.Spec.Volumes; setting {
		case "host":
			if len(v) != 3 || v[0].HostPath.Path != s.ModelDir || *v[0].HostPath.Type != corev1.HostPathDirectory {
				t.Errorf("volumes %+v", v)
			}
		default:
			if len(v) != 1 || v[0].PersistentVolumeClaim.ClaimName != "shared" || mounts[0].SubPath != "models/a" {
				t.Errorf("volumes %+v, mounts %+v", v, mounts)
			}
		}
		for path, want := range map[string]string{
			s.ModelDir: driver.ModelPath, s.ModelDir + "/x/y": driver.ModelPath + "/x/y", s.ModelsDir + "/m": driver.ModelsPath + "/m",
			"/data/models/ab": "/data/models/ab", "/elsewhere": "/elsewhere",
		} {
			if got := d.volumes.inside(&pod.Spec, path); got != want {
				t.Errorf("%s: %s is %s inside, want %s", setting, path, got, want)
			}
		}
	}
	outside := s
	outside.ModelDir = "/tmp/model"
	if _, err := quiet(t, "claim:shared").podOf(outside, startable{}, metav1.OwnerReference{}); err == nil {
		t.Error("a folder outside the claim was taken")
	}
	for _, bad := range []string{"", "claim:", "claim:A b", "nfs"} {
		if _, err := parseVolumes(bad, filepath.FromSlash("/data")); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.TextOf(err), "kubernetes-data") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := quiet(t, "host")
	for name, s := range map[string]driver.Spec{
		"isolated": {ID: "i", Isolated: true},
		"sealed":   {ID: "i", Sealed: true},
		"GPUs":     {ID: "i", GPUs: []string{"0", "1"}},
		"hostname": {ID: "i", Hostname: "Upper"},
	} {
		_, err := d.Start(t.Context(), s)
		if k := fault.KindOf(err); k != fault.Unsupported && k != fault.Invalid || !strings.Contains(fault.TextOf(err), "instance i") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"-a", "a-", strings.Repeat("x", 64)} {
		if err := d.refuse(driver.Spec{ID: id}); err == nil {
			t.Errorf("ID %q was taken", id)
		}
	}
}
