package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/connrotation"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// connection is a way to a cluster.
type connection struct {
	clients   clients
	close     func() // nil has nothing to close
	host      string
	namespace string
}

// connect finds the cluster as kubectl finds it, or as the pod does that the server
// runs in. It does not connect yet.
func connect(c Config) (connection, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.Context})
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return connection{}, fault.Wrap(fault.Invalid, err, "no Kubernetes cluster is known: set KUBECONFIG or the setting kubernetes-config, or run the server in a pod")
	}
	if err != nil {
		return connection{}, fault.Wrap(fault.Invalid, err, "the Kubernetes configuration cannot be used: %v", err)
	}
	out := connection{host: config.Host, namespace: c.Namespace}
	if out.namespace == "" {
		if out.namespace, _, err = loader.Namespace(); err != nil {
			return connection{}, fault.Wrap(fault.Invalid, err, "the Kubernetes configuration has no usable namespace (%v); name one with kubernetes-namespace", err)
		}
	}
	config.QPS = -1 // the API server itself says when it has too much to do
	config.UserAgent = "sagebrush"
	config.WarningHandler = rest.NoWarnings{}
	// A dialer of its own: connections are not shared with other drivers, and can be closed.
	dialer := connrotation.NewDialer((&net.Dialer{Timeout: callTime, KeepAlive: callTime}).DialContext)
	config.Dial, out.close = dialer.DialContext, dialer.CloseAll
	client, err := rest.HTTPClientFor(config)
	if err == nil {
		out.clients, err = newClients(config, client, out.namespace)
	}
	if err != nil {
		return connection{}, fault.Wrap(fault.Invalid, err, "the Kubernetes cluster at %s cannot be used: %v", config.Host, err)
	}
	return out, nil
}

// callTime bounds each call that is not a watch or a log.
const callTime = 30 * time.Second

func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime)
}

// failure makes an error of the API server one for users: fault.Unavailable when it
// does not answer or has no room, else an internal one with the text and what the API
// server said.
func (d *Driver) failure(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case away(err):
		return fault.Wrap(fault.Unavailable, err, "%s: the Kubernetes API server at %s does not answer (%s)", what, d.host, said(err))
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return fault.Wrap(fault.Unavailable, err, "%s: the namespace %s is full: %s", what, d.namespace, said(err))
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fault.Wrap(fault.Internal, err, "%s: the Kubernetes API server at %s refuses it to this server; give its account the rights that docs/kubernetes.md lists (%s)", what, d.host, said(err))
	}
	return fault.Wrap(fault.Internal, err, "%s: the Kubernetes API server says: %s", what, said(err))
}

// away reports whether an error says nothing about what was asked: nobody answered, or
// only that it must be asked again.
func away(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
			apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
	}
	var transport *url.Error
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &transport) || errors.As(err, &network)
}

// said is a message, bounded.
func said(err error) string { return bounded(err.Error()) }

func bounded(text string) string {
	if len(text) > 500 {
		text = text[:500] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}
