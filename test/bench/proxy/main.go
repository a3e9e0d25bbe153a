// Command proxy is internal/front with a Handler that does what an endpoint's does
// on the way to one container: it verifies the signature, if told to, and passes the
// fields of InvokeEndpoint on. bench compares it with other proxies.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

func main() {
	to := flag.String("to", "", "the container's address")
	secret := flag.String("verify", "", "verify signatures with this secret")
	loops := flag.Int("loops", runtime.GOMAXPROCS(0), "event loops")
	portable := flag.Bool("portable", false, "net/http instead of the loops")
	profile := flag.String("profile", "", "write a CPU profile to this file")
	flag.Parse()
	if err := run(*to, *secret, *loops, *portable, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

func run(to, secret string, loops int, portable bool, profile string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(struct{ Addr string }{l.Addr().String()}); err != nil {
		return err
	}
	h := &handler{addr: addr, secret: secret, verifier: sigv4.NewVerifier(nil)}
	o := front.Options{Listener: l, Handler: h, Loops: loops}
	server := &http.Server{Handler: front.NewPortable(o, http.NotFoundHandler())}
	if portable {
		go server.Serve(l)
		<-ctx.Done()
		return server.Close()
	}
	f, err := front.New(o)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + loops) // see front.Options
	go server.Serve(f.Rest())
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return f.Close(ending)
}

// handler sends everything to one address.
type handler struct {
	addr     netip.AddrPort
	secret   string
	verifier *sigv4.Verifier
}

func (h *handler) Takes(*front.Head) front.Intake {
	return front.Intake{Taken: true, Whole: h.secret != "", MaxBody: 6 << 20}
}

func (h *handler) Route(r *front.Request, t *front.Target, a *front.Answer) front.Verdict {
	if h.secret != "" {
		if err := h.verify(r); err != nil {
			a.Error(403, "InvalidSignatureException", err.Error())
			return front.Reply
		}
	}
	t.Addr = h.addr
	t.Limit = time.Minute
	t.MaxAnswer = 6 << 20
	for i := range r.Fields {
		if name := passes(r.Fields[i].Name); name != "" {
			t.Fields.Add(name, r.Fields[i].Value)
		}
	}
	t.Extra.AddString("x-Amzn-Invoked-Production-Variant", "AllTraffic")
	t.Extra.AddString("x-amzn-RequestId", "9a2f5a3c-7d0c-4c5e-8f39-6f1f2b4c7d10")
	return front.Forward
}

func (h *handler) Done(t *front.Target, o *front.Outcome, a *front.Answer) bool {
	return o.Again
}

func (h *handler) verify(r *front.Request) error {
	s, err := sigv4.ParseMessage(&r.Head)
	if err != nil {
		return err
	}
	return h.verifier.VerifyMessage(&r.Head, &s, h.secret, r.Body)
}

// passes gives the name of a field that the container gets, or "".
func passes(name []byte) string {
	for _, known := range [...]string{"Accept", "Content-Type", "X-Amzn-SageMaker-Custom-Attributes"} {
		if len(name) == len(known) && bytes.EqualFold(name, []byte(known)) {
			return known
		}
	}
	return ""
}
