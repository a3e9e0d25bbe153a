package kube

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// podWith is a pod on a node whose container is in a state.
func podWith(state corev1.ContainerState, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		NodeName: "n", Containers: []corev1.Container{{Name: containerName, Args: []string{"serve"}}}}}
	p.Status.PodIP = "10.0.0.7"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: containerName, State: state}}
	for _, f := range change {
		f(p)
	}
	return p
}

func terminated(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

var running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}

func deleting(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

func failed(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, reason }
}

func bare(p *corev1.Pod) { p.Status.ContainerStatuses = nil }

func disrupted(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	lost := driver.Exit{Code: -1, Lost: true}
	killed := driver.Exit{Code: -1, Signal: "killed"}
	cases := map[string]struct {
		pod            *corev1.Pod
		deleted, asked bool
		want           driver.Exit
		goesOn         bool
	}{
		"runs":                           {pod: podWith(running), goesOn: true},
		"is asked to end":                {pod: podWith(running, deleting), asked: true, goesOn: true},
		"is evicted and still runs":      {pod: podWith(running, deleting, disrupted), goesOn: true},
		"code 0":                         {pod: podWith(terminated(0, "Completed", "")), want: driver.Exit{}},
		"code 3":                         {pod: podWith(terminated(3, "Error", "")), want: driver.Exit{Code: 3}},
		"SIGKILL":                        {pod: podWith(terminated(137, "Error", "")), want: killed},
		"SIGTERM, as asked":              {pod: podWith(terminated(143, "Error", ""), deleting), asked: true, want: driver.Exit{Code: -1, Signal: "terminated"}},
		"no memory":                      {pod: podWith(terminated(137, "OOMKilled", "")), want: driver.Exit{Code: -1, Signal: "killed", OOM: true}},
		"evicted":                        {pod: podWith(terminated(143, "Error", ""), deleting, disrupted), want: lost},
		"deleted by somebody":            {pod: podWith(terminated(0, "Completed", ""), deleting), want: lost},
		"no memory on the node":          {pod: podWith(terminated(137, "Error", ""), failed("Evicted")), want: lost},
		"node shut down":                 {pod: podWith(terminated(143, "Error", ""), failed("Terminated")), want: lost},
		"node restarted":                 {pod: podWith(terminated(137, "ContainerStatusUnknown", "")), want: lost},
		"not taken by its node":          {pod: podWith(running, bare, failed("OutOfcpu")), want: lost},
		"gone":                           {pod: podWith(running), deleted: true, want: lost},
		"gone, as asked":                 {pod: podWith(running), deleted: true, asked: true, want: killed},
		"gone after its end":             {pod: podWith(terminated(7, "Error", "")), deleted: true, want: driver.Exit{Code: 7}},
		"asked, and evicted all the way": {pod: podWith(terminated(7, "Error", ""), deleting, disrupted), asked: true, want: driver.Exit{Code: 7}},
	}
	for name, c := range cases {
		got, ok := ended(c.pod, c.deleted, c.asked)
		if got != c.want || ok == c.goesOn {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestStarted(t *testing.T) {
	t.Parallel()
	d := &Driver{}
	cases := map[string]struct {
		pod     *corev1.Pod
		deleted bool
		starts  bool
		image   bool       // the image is at fault
		kind    fault.Kind // of any error
		says    string
	}{
		"runs":                {pod: podWith(running), starts: true},
		"has no address yet":  {pod: podWith(running, func(p *corev1.Pod) { p.Status.PodIP = "" })},
		"ended at once":       {pod: podWith(terminated(3, "Error", "")), starts: true},
		"is created":          {pod: podWith(waiting("ContainerCreating", ""))},
		"is scheduled":        {pod: podWith(running, bare)},
		"cannot be pulled":    {pod: podWith(waiting("ErrImagePull", "no such host")), image: true, kind: fault.Invalid, says: "node n does not have it and cannot pull it: no such host"},
		"waits with a pull":   {pod: podWith(waiting("ImagePullBackOff", "not found")), image: true, kind: fault.Invalid, says: "not found"},
		"bad name":            {pod: podWith(waiting("InvalidImageName", "bad")), image: true, kind: fault.Invalid, says: "no name"},
		"never pulled":        {pod: podWith(waiting("ErrImageNeverPull", "not present")), image: true, kind: fault.Invalid, says: "load it on every node"},
		"no such program":     {pod: podWith(terminated(128, "StartError", `exec: "serve": executable file not found in $PATH`)), image: true, kind: fault.Invalid, says: `a program named "serve"`},
		"no command":          {pod: podWith(waiting("CreateContainerError", "no command specified")), image: true, kind: fault.Invalid},
		"cannot be contained": {pod: podWith(terminated(128, "StartError", "cgroup is broken")), kind: fault.Internal, says: "cgroup is broken"},
		"refused by its node": {pod: podWith(running, bare, failed("OutOfmemory")), kind: fault.Unavailable, says: "OutOfmemory"},
		"deleted":             {pod: podWith(running), deleted: true, kind: fault.Unavailable},
		"being deleted":       {pod: podWith(running, deleting), kind: fault.Unavailable},
	}
	for name, c := range cases {
		ok, err := d.started(c.pod, c.deleted, "an/image:1")
		if ok != c.starts || errors.Is(err, driver.ErrNoImage) != c.image || !strings.Contains(fault.TextOf(err), c.says) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if err != nil && fault.KindOf(err) != c.kind || c.image && !strings.Contains(fault.TextOf(err), `"an/image:1"`) {
			t.Errorf("%s: %v %v", name, fault.KindOf(err), err)
		}
	}
}

func TestResolved(t *testing.T) {
	t.Parallel()
	sum := "sha256:" + strings.Repeat("ab", 32)
	cases := map[string]struct {
		id, want string
		pins     startable
	}{
		"of a registry":  {"example.com:5000/team/image@" + sum, "example.com:5000/team/image@" + sum, startable{"example.com:5000/team/image@" + sum, corev1.PullIfNotPresent}},
		"with a scheme":  {"docker-pullable://example.com/x@" + sum, "example.com:5000/team/image@" + sum, startable{"example.com:5000/team/image@" + sum, corev1.PullIfNotPresent}},
		"loaded":         {sum, "example.com:5000/team/image@" + sum, startable{sum, corev1.PullNever}},
		"loaded, bare":   {strings.TrimPrefix(sum, "sha256:"), "example.com:5000/team/image@" + sum, startable{sum, corev1.PullNever}},
		"not understood": {"latest", "", startable{}},
	}
	const name = "example.com:5000/team/image:3"
	for what, c := range cases {
		d := &Driver{local: map[string]bool{}}
		got, err := d.resolved(name, c.id)
		if got.Resolved != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if err == nil {
			if pins := d.startable(driver.Spec{Image: name, Resolved: got.Resolved}); pins != c.pins {
				t.Errorf("%s is started as %+v", what, pins)
			}
		}
	}
	if got := (&Driver{}).startable(driver.Spec{Image: name}); got != (startable{name, corev1.PullNever}) {
		t.Errorf("by its name it is started as %+v", got)
	}
}
