package kube

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// volumes is how pods see the folders of Specs, which lie in the server's data folder.
// This file is all that knows it.
type volumes struct {
	// data is the absolute data folder.
	data string
	// claim is the PersistentVolumeClaim whose root is the data folder, mounted
	// wherever the server has it. "" has every node see the data folder at its own
	// path: one machine, or a network file system.
	claim string
}

// parseVolumes reads the setting kubernetes-data.
func parseVolumes(setting, data string) (volumes, error) {
	claim, claims := strings.CutPrefix(setting, "claim:")
	switch {
	case !filepath.IsAbs(data):
		return volumes{}, fault.New(fault.Internal, "the data folder %q is not an absolute path", data)
	case setting == "host":
		return volumes{data: filepath.Clean(data)}, nil
	case claims && len(validation.IsDNS1123Subdomain(claim)) == 0:
		return volumes{data: filepath.Clean(data), claim: claim}, nil
	}
	return volumes{}, fault.New(fault.Invalid, "the setting kubernetes-data is %q, and may be host, or claim:NAME with the name of a PersistentVolumeClaim", setting)
}

// folder is a host folder and where a container sees it.
type folder struct {
	name         string
	host, inside string
	readOnly     bool
}

// folders lists what a Spec has a container see. The scratch folder is not among
// them: /tmp is the container's own.
func folders(spec driver.Spec) []folder {
	var all []folder
	for _, f := range []folder{
		{"model", spec.ModelDir, driver.ModelPath, !spec.WritableModel},
		{"models", spec.ModelsDir, driver.ModelsPath, !spec.WritableModel},
		{"extra", spec.ExtraDir, driver.ExtraPath, true},
	} {
		if f.host != "" {
			all = append(all, f)
		}
	}
	return all
}

// claimVolume is what the volume of the claim is called in a pod.
const claimVolume = "data"

// mount has a pod's container see folders.
func (v volumes) mount(pod *corev1.PodSpec, all []folder) error {
	c := &pod.Containers[0]
	for _, f := range all {
		m := corev1.VolumeMount{Name: f.name, MountPath: f.inside, ReadOnly: f.readOnly}
		if v.claim == "" {
			directory := corev1.HostPathDirectory
			pod.Volumes = append(pod.Volumes, corev1.Volume{Name: f.name, VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: filepath.Clean(f.host), Type: &directory}}})
		} else {
			rest, err := filepath.Rel(v.data, f.host)
			if err != nil || !filepath.IsLocal(rest) {
				return fault.New(fault.Internal, "the folder %s for %s does not lie in the data folder %s, which pods see through the claim %s", f.host, f.inside, v.data, v.claim)
			}
			m.Name, m.SubPath = claimVolume, filepath.ToSlash(rest)
		}
		c.VolumeMounts = append(c.VolumeMounts, m)
	}
	if v.claim != "" && len(all) > 0 {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: claimVolume, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: v.claim}}})
	}
	return nil
}

// inside gives the path under which a pod's container sees a path of this machine.
// What it does not see keeps its name.
func (v volumes) inside(pod *corev1.PodSpec, host string) string {
	host = filepath.Clean(host)
	for _, m := range pod.Containers[0].VolumeMounts {
		from := ""
		for _, volume := range pod.Volumes {
			switch {
			case volume.Name != m.Name:
			case volume.HostPath != nil:
				from = volume.HostPath.Path
			case volume.PersistentVolumeClaim != nil:
				from = filepath.Join(v.data, filepath.FromSlash(m.SubPath))
			}
		}
		if rest, ok := strings.CutPrefix(host, from); from != "" && ok && (rest == "" || rest[0] == filepath.Separator) {
			return path.Join(m.MountPath, filepath.ToSlash(rest))
		}
	}
	return host
}

// advice is what to do about a volume that a node cannot mount.
func (v volumes) advice() string {
	if v.claim == "" {
		return fmt.Sprintf("with kubernetes-data=host every node must see the folder %s at that path", v.data)
	}
	return fmt.Sprintf("the claim %s must be in the pods' namespace, be mountable by several nodes, and hold the data folder at its root", v.claim)
}
