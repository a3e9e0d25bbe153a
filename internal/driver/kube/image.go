package kube

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Only kubelets pull images, and they tell of an image what they tell of a container:
// its digest. So Prepare starts a pod of the image whose program does not exist. The
// kubelet pulls, the container runtime finds nothing to run, nothing of the image ever
// runs, and the status has the digest.
//
// An image of a registry is known by the registry's digest, under which any node finds
// the same bytes. One that was loaded on the nodes has no such digest, and is known by
// its own ID. Its resolved name looks the same (EP-21); its pods name the ID alone and
// never pull, so a node that has another image under that name, or none, does not run
// it (EP-22). Which of both kinds an image is, Prepare learns anew in every process.

// startable is an image as a pod names it.
type startable struct {
	name string
	pull corev1.PullPolicy
}

// startable is what starts the image that a Spec pins, or names.
func (d *Driver) startable(spec driver.Spec) startable {
	if spec.Resolved == "" {
		return startable{spec.Image, corev1.PullNever}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, id, ok := strings.Cut(spec.Resolved, "@"); ok && d.local[spec.Image] {
		return startable{id, corev1.PullNever}
	}
	return startable{spec.Resolved, corev1.PullIfNotPresent}
}

// look is one look at an image, for all who want it at the moment.
type look struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // Driver.mu is held
	image   driver.Image
	err     error
}

// Prepare implements driver.Driver. An image of another platform than the node's shows
// at Start.
func (d *Driver) Prepare(ctx context.Context, name string, report func(driver.Pull)) (driver.Image, error) {
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return driver.Image{}, noImage(name, "that is no name of an image (%v)", err)
	}
	if err := d.settle(ctx); err != nil {
		return driver.Image{}, err
	}
	if report != nil {
		report(driver.Pull{Text: "is looked for by a node of the cluster, which pulls it when it does not have it"})
	}
	l := d.joinLook(name)
	defer d.leaveLook(name, l)
	select {
	case <-l.done:
		return l.image, l.err
	case <-ctx.Done():
		return driver.Image{}, fmt.Errorf("preparing image %s: %w", name, ctx.Err())
	}
}

func (d *Driver) joinLook(name string) *look {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.looks[name]
	if l == nil {
		var ctx context.Context
		l = &look{done: make(chan struct{})}
		ctx, l.cancel = context.WithCancel(d.life)
		d.looks[name] = l
		d.handlers.Go(func() {
			defer l.cancel()
			l.image, l.err = d.lookAt(ctx, name)
			d.mu.Lock()
			if d.looks[name] == l {
				delete(d.looks, name)
			}
			d.mu.Unlock()
			close(l.done)
		})
	}
	l.waiters++
	return l
}

// leaveLook takes one caller away. A look without callers is nobody's to join.
func (d *Driver) leaveLook(name string, l *look) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.waiters--; l.waiters > 0 {
		return
	}
	if d.looks[name] == l {
		delete(d.looks, name)
	}
	l.cancel()
}

// lookAt has a node tell what an image is.
func (d *Driver) lookAt(ctx context.Context, name string) (driver.Image, error) {
	anchor, err := d.anchor(ctx)
	if err != nil {
		return driver.Image{}, err
	}
	pod := d.barePod(d.ownName()+"-image-"+strings.ToLower(rand.Text()[:12]), startable{name, corev1.PullIfNotPresent}, anchor)
	pod.Annotations = map[string]string{noteImage: name}
	pod.Spec.Containers[0].Command = []string{"/nothing/of/this/image/is/run"}
	made, err := d.create(ctx, "", pod)
	if err != nil {
		return driver.Image{}, err
	}
	s := d.watch(made)
	defer s.forget()
	defer d.deletePod(context.WithoutCancel(ctx), made, 1)
	err = s.await(ctx, func(pod *corev1.Pod, deleted bool) (bool, error) {
		return d.identified(pod, deleted, name)
	})
	if err != nil {
		return driver.Image{}, err
	}
	seen, _ := s.look()
	status, _ := stateOf(seen)
	return d.resolved(name, status.ImageID)
}

// identified reports whether the node has told what a pod's image is, or why it never
// will.
func (d *Driver) identified(pod *corev1.Pod, deleted bool, name string) (bool, error) {
	s, _ := stateOf(pod)
	if s.ImageID != "" {
		return true, nil
	}
	if w := s.State.Waiting; w != nil && strings.HasPrefix(w.Reason, "CreateContainer") {
		return false, fault.New(fault.Unsupported,
			"the digest of image %q cannot be learned: node %s does not tell of which image a container is that cannot be started, as containerd does (%s)", name, pod.Spec.NodeName, bounded(w.Message))
	}
	if s.State.Terminated != nil {
		return false, fault.New(fault.Internal, "node %s does not tell the digest of image %q", pod.Spec.NodeName, name)
	}
	_, err := d.started(pod, deleted, name)
	return false, err
}

// resolved reads what a kubelet calls the ID of an image: repository@sha256:digest for
// one of a registry, else the image's own ID; some put a scheme before it.
func (d *Driver) resolved(name, id string) (driver.Image, error) {
	if _, rest, ok := strings.Cut(id, "://"); ok {
		id = rest
	}
	_, sum, pulled := strings.Cut(id, "@")
	if !pulled {
		if sum = id; !strings.Contains(sum, ":") {
			sum = "sha256:" + sum
		}
	}
	if _, err := digest.Parse(sum); err != nil {
		return driver.Image{}, fault.New(fault.Internal, "the cluster knows image %q as %q, which is no digest", name, bounded(id))
	}
	d.mu.Lock()
	d.local[name] = !pulled
	d.mu.Unlock()
	return driver.Image{Specified: name, Resolved: repositoryOf(name) + "@" + sum, At: time.Now()}, nil
}

// repositoryOf is an image's name, as it was written, without tag and digest.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name
}
