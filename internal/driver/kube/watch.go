package kube

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// observe starts to follow the owner's pods and all nodes, until Close.
func (d *Driver) observe() {
	mine := labelOwner + "=" + d.owner
	pods := d.clients.pods
	d.pods = d.follow(&corev1.Pod{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = mine
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = mine
			return pods.Watch(ctx, o)
		},
	}, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { d.seePod(o, false) },
		UpdateFunc: func(_, o any) { d.seePod(o, false) },
		DeleteFunc: func(o any) { d.seePod(o, true) },
	})
	nodes := d.clients.nodes
	d.nodes = d.follow(&corev1.Node{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return nodes.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return nodes.Watch(ctx, o)
		},
	}, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { d.seeNode(o) },
		UpdateFunc: func(_, o any) { d.seeNode(o) },
		DeleteFunc: func(o any) { d.seeNode(o) },
	})
	for _, informer := range []cache.SharedIndexInformer{d.pods, d.nodes} {
		d.handlers.Go(func() { informer.RunWithContext(klog.NewContext(d.life, logr.Discard())) }) // the error handler tells
	}
}

// follow makes an informer.
func (d *Driver) follow(kind runtime.Object, from *cache.ListWatch, to cache.ResourceEventHandler) cache.SharedIndexInformer {
	informer := cache.NewSharedIndexInformer(from, kind, 0, cache.Indexers{})
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		if ctx.Err() == nil && !apierrors.IsResourceExpired(err) {
			d.log.Warn("the Kubernetes API server tells no news", "server", d.host, "error", err)
		}
	}) // it fails only once the informer runs
	_, _ = informer.AddEventHandler(to) // it fails only once the informer has stopped
	return informer
}

// sight is what the driver sees of one pod.
type sight struct {
	d    *Driver
	name string
	news chan struct{} // has a token when there is something new

	mu      sync.Mutex
	pod     *corev1.Pod
	deleted bool // the pod is no more; pod is how it was last seen
}

// watch begins to see a pod that exists.
func (d *Driver) watch(pod *corev1.Pod) *sight {
	s := &sight{d: d, name: pod.Name, pod: pod, news: make(chan struct{}, 1)}
	d.mu.Lock()
	d.sights[pod.Name] = s
	d.mu.Unlock()
	if d.pods == nil {
		return s
	}
	if known, ok, _ := d.pods.GetStore().GetByKey(d.namespace + "/" + pod.Name); ok {
		d.seePod(known, false)
	}
	return s
}

// forget ends a sight.
func (s *sight) forget() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.sights[s.name] == s {
		delete(s.d.sights, s.name)
	}
}

// look gives the pod as it was last seen. It must not be changed.
func (s *sight) look() (pod *corev1.Pod, deleted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pod, s.deleted
}

func (s *sight) poke() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// tell takes in how the pod is now, unless it is another one of the name.
func (s *sight) tell(pod *corev1.Pod, deleted bool) {
	s.mu.Lock()
	if s.pod.UID == pod.UID {
		s.pod, s.deleted = pod, s.deleted || deleted
	}
	s.mu.Unlock()
	s.poke()
}

// lookEvery is how often the API server is asked for a pod of which nothing was
// heard: a watch that broke may have missed its end.
const lookEvery = 30 * time.Second

// refresh asks the API server for the pod.
func (s *sight) refresh(ctx context.Context) {
	ctx, cancel := call(ctx)
	defer cancel()
	known, _ := s.look()
	now, err := s.d.clients.pods.Get(ctx, known.Name, metav1.GetOptions{})
	switch {
	case err == nil && now.UID == known.UID:
		s.tell(now, false)
	case err == nil, apierrors.IsNotFound(err):
		s.tell(known, true)
	default:
		s.d.log.Debug("a pod cannot be looked at", "pod", known.Name, "error", err)
	}
}

func (d *Driver) seePod(object any, deleted bool) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	d.mu.Lock()
	s := d.sights[pod.Name]
	d.mu.Unlock()
	if s != nil {
		s.tell(pod, deleted)
	}
}

// seeNode has those look again whose pods are on a node.
func (d *Driver) seeNode(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	node, ok := object.(*corev1.Node)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sights {
		if pod, _ := s.look(); pod.Spec.NodeName == node.Name {
			s.poke()
		}
	}
}

// node gives a pod's node as far as it is known, else nil.
func (d *Driver) node(pod *corev1.Pod) *corev1.Node {
	if d.nodes == nil || pod.Spec.NodeName == "" {
		return nil
	}
	known, _, _ := d.nodes.GetStore().GetByKey(pod.Spec.NodeName)
	node, _ := known.(*corev1.Node)
	return node
}
