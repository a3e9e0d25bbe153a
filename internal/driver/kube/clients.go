package kube

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
)

// clients talk to the API server about the kinds of objects that the driver has to do
// with, in one namespace. They know two of Kubernetes' groups of kinds: its ready-made
// clientset knows all sixty, which doubles the binary and costs each of its processes,
// every shim among them, 8 ms to begin with.
type clients struct {
	pods    *gentype.ClientWithList[*corev1.Pod, *corev1.PodList]
	nodes   *gentype.ClientWithList[*corev1.Node, *corev1.NodeList]
	events  *gentype.ClientWithList[*corev1.Event, *corev1.EventList]
	anchors *gentype.Client[*corev1.ConfigMap]
	budgets *gentype.Client[*policyv1.PodDisruptionBudget]
	options runtime.ParameterCodec
}

// newClients makes the clients of an API server; config says how to reach it.
func newClients(config *rest.Config, over *http.Client, namespace string) (clients, error) {
	kinds := runtime.NewScheme()
	metav1.AddToGroupVersion(kinds, schema.GroupVersion{Version: "v1"})
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, policyv1.AddToScheme} {
		if err := add(kinds); err != nil {
			return clients{}, err
		}
	}
	group := func(path string, version schema.GroupVersion) (*rest.RESTClient, error) {
		c := rest.CopyConfig(config)
		c.APIPath, c.GroupVersion = path, &version
		c.NegotiatedSerializer = serializer.NewCodecFactory(kinds).WithoutConversion()
		return rest.RESTClientForConfigAndClient(c, over)
	}
	core, err := group("/api", corev1.SchemeGroupVersion)
	if err != nil {
		return clients{}, err
	}
	policy, err := group("/apis", policyv1.SchemeGroupVersion)
	if err != nil {
		return clients{}, err
	}
	options := runtime.NewParameterCodec(kinds)
	return clients{
		pods: gentype.NewClientWithList("pods", core, options, namespace,
			func() *corev1.Pod { return new(corev1.Pod) }, func() *corev1.PodList { return new(corev1.PodList) }),
		nodes: gentype.NewClientWithList("nodes", core, options, "",
			func() *corev1.Node { return new(corev1.Node) }, func() *corev1.NodeList { return new(corev1.NodeList) }),
		events: gentype.NewClientWithList("events", core, options, namespace,
			func() *corev1.Event { return new(corev1.Event) }, func() *corev1.EventList { return new(corev1.EventList) }),
		anchors: gentype.NewClient("configmaps", core, options, namespace,
			func() *corev1.ConfigMap { return new(corev1.ConfigMap) }),
		budgets: gentype.NewClient("poddisruptionbudgets", policy, options, namespace,
			func() *policyv1.PodDisruptionBudget { return new(policyv1.PodDisruptionBudget) }),
		options: options,
	}, nil
}

// logs asks for what a pod has printed.
func (c clients) logs(pod string, of *corev1.PodLogOptions) *rest.Request {
	return c.pods.GetClient().Get().Namespace(c.pods.GetNamespace()).Resource("pods").Name(pod).SubResource("log").VersionedParams(of, c.options)
}
