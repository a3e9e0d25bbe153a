// Package daemon builds a whole server from its settings and runs it. It is the
// only package that names the adapters behind the seams; the commands and the
// end-to-end tests share it, and two daemons can run in one process.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/control"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/guarded"
	"github.com/sagebrush-ml/sagebrush/internal/router"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// Options are what a Daemon is built from.
type Options struct {
	Config  config.Config
	Version string
	// Self is the command line that runs this binary again, for the helpers that
	// are processes of their own: {"/usr/bin/sagebrush"}.
	Self []string
	// Objects replaces the store of jobs; nil is what Config says.
	Objects objstore.Store
	// AnyRole accepts execution roles that do not exist, which then limit nothing, as an
	// open server does: for a server that has no client but its own process.
	AnyRole bool
	Log     *slog.Logger
}

// Daemon is a server that listens. Run serves it; Close releases one that is not run.
type Daemon struct {
	Options
	data     string
	open     bool // accepts unknown keys
	keysMu   sync.Mutex
	keys     Credentials // of the user admin; may be rotated
	made     bool        // keys is new: there was no file of it
	who      *identity.Store
	audit    *audit.Log
	listener net.Listener
	tls      *certificate // nil serves without TLS
	front    *front.Front // nil behind TLS
	api      *api.Server
	server   *http.Server
	control  *control.Control
	router   *router.Router
	logs     *joblog.Dir
	keystore *local.Store
	keyring  keyring.Keyring // the keystore, or AWS KMS
	closers  []func() error  // in the order of opening
}

// Open builds everything and listens, so that URL is known. It serves nothing
// yet: what connects waits for Run.
func Open(ctx context.Context, o Options) (_ *Daemon, err error) {
	d := &Daemon{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := d.openFolder(); err != nil {
		return nil, err
	}
	if d.open, err = decideAuth(o.Config); err != nil {
		return nil, err
	}
	if d.keys, d.made, err = loadCredentials(filepath.Join(d.data, credentialsFile)); err != nil {
		return nil, err
	}
	store, err := state.Open(ctx, filepath.Join(d.data, "sagebrush.db"), state.Options{})
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, store.Close)
	if err := d.assemble(ctx, store); err != nil {
		return nil, err
	}
	return d, d.listen()
}

// assemble builds the rooms over an open database.
func (d *Daemon) assemble(ctx context.Context, store *state.Store) error {
	if err := d.openSecrets(ctx, store); err != nil {
		return err
	}
	if err := d.openAudit(); err != nil {
		return err
	}
	objects, s3, err := d.openObjects(ctx)
	if err != nil {
		return err
	}
	objects = guarded.New(objects)
	c := d.Config
	logSecret, err := store.Secret(ctx, "log-token")
	if err != nil {
		return err
	}
	d.logs = joblog.New(filepath.Join(d.data, "logs"), joblog.Limits{
		Age: time.Duration(c.LogDays) * 24 * time.Hour, Total: int64(c.LogTotalMB) << 20, Stream: int64(c.LogStreamMB) << 20,
	}, time.Now)
	d.logs.Keys = d.keyring
	volumes, err := d.openVolumes()
	if err != nil {
		return err
	}
	models, err := modelcache.Open(modelcache.Options{
		Dir: filepath.Join(d.data, "models"), Store: objects, Bytes: int64(c.ModelCacheGB) << 30, Log: d.Log, Now: time.Now,
	})
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the folder of the model cache in %s cannot be used", d.data)
	}
	runtimes, err := d.openDriver()
	if err != nil {
		return err
	}
	room, err := openCapacity(c)
	if err != nil {
		return err
	}
	routes := router.New(router.Options{Account: c.Account, Objects: objects, As: d.as, Queue: router.StoreQueue{Store: store}, Log: d.Log, Now: time.Now})
	d.closers = append(d.closers, func() error { routes.Close(); return nil })
	d.router = routes
	d.control, err = control.New(ctx, control.Options{
		Account: c.Account, SeedCompat: c.Compat == config.Seed, AlwaysNewline: c.AlwaysNewline,
		Capacity: room, MaxAnswerBytes: int64(c.MaxAnswerMB) << 20,
		ReadyTimeout: c.ReadyTimeout, StopGrace: c.StopGrace, StartupTimeout: c.EndpointStartup, DrainTime: c.DrainTime,
		InvokeTimeout: c.InvokeTimeout, InvokeBytes: int64(c.InvokeMB) << 20, InvokeWaiting: c.InvokeWaiting,
		WakeWait: c.WakeWait, KeepAlive: c.KeepAlive, ScalingPeriod: c.ScalingPeriod, WarmTime: c.WarmTime, Router: routes,
		State: store, Objects: objects, As: d.as, Logs: d.logs, Keys: d.keyring, ObjectKeys: d.objectKeys(s3 != nil), Volumes: volumes, Work: filepath.Join(d.data, "work", "jobs"), Log: d.Log, Now: time.Now,
		Fleet: fleet.New(fleet.Options{
			Driver: runtimes, Models: models, Remap: remap(c.Remap), Work: filepath.Join(d.data, "work", "instances"),
			StopGrace: c.StopGrace, Patience: c.RuntimePatience, Log: d.Log, Now: time.Now,
		}),
	})
	if err != nil {
		return err
	}
	port := api.New(api.Options{
		Control: d.control, Router: routes, InvokeBytes: int64(c.InvokeMB) << 20, S3: s3, KMS: d.keyService(), Logs: d.logs, LogSecret: logSecret, WholeLogPages: c.LogWholePages,
		Identities: d.who, Rotated: d.keyRotated, Open: d.open, RatePerSecond: c.RateLimit, Audit: d.audit,
		Account: c.Account, Region: c.Region, Version: d.Version, Log: d.Log, Now: time.Now,
	})
	d.api = port
	d.server = &http.Server{
		Handler:           port,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	d.server.RegisterOnShutdown(port.Drain)
	return nil
}

// openFolder finds or makes the data folder, with an absolute path.
func (d *Daemon) openFolder() (err error) {
	if d.Config.Ephemeral {
		if d.data, err = os.MkdirTemp("", "sagebrush-"); err != nil {
			return fault.Wrap(fault.Internal, err, "a temporary data folder cannot be made")
		}
		d.closers = append(d.closers, func() error { return os.RemoveAll(d.data) })
		return nil
	}
	if d.data, err = filepath.Abs(d.Config.Data); err == nil {
		err = os.MkdirAll(d.data, 0o700)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the data folder %s cannot be used; choose another with --data", d.Config.Data)
	}
	return nil
}

// decideAuth resolves the auth setting: an open server must not be reachable from
// other machines.
func decideAuth(c config.Config) (open bool, err error) {
	loopback, err := isLoopback(c.Listen)
	if err != nil {
		return false, err
	}
	switch {
	case c.Auth == "keys":
		return false, nil
	case c.Auth == "open" && !loopback:
		return false, fault.New(fault.Invalid, "auth=open accepts any access key and is for loopback addresses only, and %s is reachable from other machines; use --auth keys", c.Listen)
	}
	return loopback, nil
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(listen string) (bool, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fault.Wrap(fault.Invalid, err, "the listen address %q is not of the form HOST:PORT", listen)
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback(), nil
}

// listen takes the address.
func (d *Daemon) listen() (err error) {
	if d.Config.TLSCert != "" {
		if d.tls, err = openCertificate(d.Config.TLSCert, d.Config.TLSKey, time.Now); err != nil {
			return err
		}
	}
	if d.listener, err = net.Listen("tcp", d.Config.Listen); err != nil {
		return fault.Wrap(fault.Invalid, err, "cannot listen on %s: choose another address with --listen, or stop the server that holds it", d.Config.Listen)
	}
	d.closers = append(d.closers, func() error {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return d.writeEndpoint()
}

// URL is where the daemon serves, as a client on this machine reaches it.
func (d *Daemon) URL() string {
	scheme := "http"
	if d.tls != nil {
		scheme = "https"
	}
	at := d.listener.Addr().(*net.TCPAddr)
	if at.IP.IsUnspecified() {
		return fmt.Sprintf("%s://127.0.0.1:%d", scheme, at.Port)
	}
	return scheme + "://" + at.String()
}

// Region is the region of requests that name none.
func (d *Daemon) Region() string { return d.Config.Region }

// Credentials are the access key of the user admin that is in the data folder.
func (d *Daemon) Credentials() (id, secret string) {
	d.keysMu.Lock()
	defer d.keysMu.Unlock()
	return d.keys.AccessKeyID, d.keys.SecretAccessKey
}

// Data is the daemon's folder.
func (d *Daemon) Data() string { return d.data }

// drainTime is how long requests may take to end when the daemon stops.
const drainTime = 10 * time.Second

// Run serves until ctx ends. Then it stops accepting, lets requests end, stops
// the instances of running jobs (the next server takes those jobs up), and closes
// everything. A clean stop is no error.
func (d *Daemon) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.tls == nil {
		f, err := front.New(front.Options{Listener: d.listener, Handler: d.api.Hot(), Loops: runtime.NumCPU()})
		if err != nil {
			return errors.Join(fault.Wrap(fault.Internal, err, "the server cannot serve its port"), d.Close())
		}
		d.front = f
	}
	served := make(chan error, 1)
	go func() { served <- d.serve() }()
	worked := make(chan error, 1)
	go func() { worked <- d.control.Run(inner) }()
	var keeper sync.WaitGroup
	keeper.Go(func() { d.logs.Keep(inner, d.Log) })
	keeper.Go(func() { d.keystore.Run(inner) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- nil
	case err = <-worked:
		worked <- nil
	}
	d.Log.Info("stopping")
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer stop()
	if d.front != nil {
		_ = d.front.Close(drain) // what is left then is cut off
	}
	if serr := d.server.Shutdown(drain); serr != nil {
		d.server.Close()
	}
	d.router.Close() // before the instances end, so that no asynchronous request fails by that
	cancel()
	for _, end := range []chan error{served, worked} {
		// The front's end closes what the server listens at, which may come first.
		if e := <-end; e != nil && !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}
	keeper.Wait()
	return errors.Join(err, d.Close())
}

// serve answers requests until the server is shut down.
func (d *Daemon) serve() error {
	if d.tls == nil {
		return d.server.Serve(d.front.Rest())
	}
	d.server.TLSConfig = d.tls.config()
	return d.server.ServeTLS(d.listener, "", "")
}

// Close releases everything, last opened first. It may be called twice.
func (d *Daemon) Close() error {
	var errs []error
	for len(d.closers) > 0 {
		last := len(d.closers) - 1
		errs = append(errs, d.closers[last]())
		d.closers = d.closers[:last]
	}
	return errors.Join(errs...)
}
