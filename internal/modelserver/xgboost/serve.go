package xgboost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/modelserver/xgboost/booster"
)

const (
	// drainTime is how long requests in flight may take after the stop: the
	// platform kills a container 30 s after SIGTERM (CC-27).
	drainTime = 25 * time.Second

	headerTime  = 10 * time.Second
	requestTime = 15 * time.Minute
	idleTime    = 5 * time.Minute
	headerBytes = 64 << 10

	// largestModel bounds a model file.
	largestModel = 2 << 30
)

// Serve answers on ln until ctx ends, then lets the requests in flight finish.
// It closes ln and returns nil after an orderly stop.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := server.Shutdown(drain)
	if err != nil {
		server.Close()
		err = fmt.Errorf("requests were still running %v after the stop: %w", drainTime, err)
	}
	<-failed
	return err
}

// Main runs the server as a container's process: args must be "serve". It reads
// its settings from env, loads the model, serves until ctx ends, and returns
// the exit code: 0 after an orderly stop, 1 after a failure, 2 for wrong
// arguments or settings. Everything it has to say goes to stderr; stdout stays
// empty.
//
// The settings are SM_MODEL_DIR (/opt/ml/model), SAGEMAKER_BIND_TO_PORT (8080),
// SAGEBRUSH_BIND_HOST (all interfaces), SAGEMAKER_BATCH (set to anything in a
// batch job), MAX_CONTENT_LENGTH (6291456), SAGEMAKER_MAX_PAYLOAD_IN_MB, which
// raises the limit for a job (CC-41), and SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT
// (text/csv).
func Main(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	_ = stdout
	if len(args) != 1 || args[0] != "serve" {
		fmt.Fprintf(stderr, "xgboost: the only command is \"serve\", not %q\n", strings.Join(args, " "))
		return 2
	}
	s, err := readSettings(env)
	if err != nil {
		fmt.Fprintf(stderr, "xgboost: %v\n", err)
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	if err := s.serve(ctx, log); err != nil {
		log.Error("the XGBoost server failed", "error", err)
		return 1
	}
	log.Info("the XGBoost server has stopped")
	return 0
}

type settings struct {
	folder  string
	address string
	options Options
}

func readSettings(env func(string) string) (settings, error) {
	s := settings{folder: env("SM_MODEL_DIR"), options: Options{
		Batch:            env("SAGEMAKER_BATCH") != "",
		DefaultAccept:    strings.ToLower(env("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")),
		MaxContentLength: DefaultMaxContentLength,
	}}
	if s.folder == "" {
		s.folder = "/opt/ml/model"
	}
	if keys := env("SAGEMAKER_INFERENCE_OUTPUT"); keys != "" {
		return s, fmt.Errorf("SAGEMAKER_INFERENCE_OUTPUT is %q, but selecting the content of answers is not supported", keys)
	}
	port := env("SAGEMAKER_BIND_TO_PORT")
	if port == "" {
		port = "8080"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return s, fmt.Errorf("SAGEMAKER_BIND_TO_PORT is %q, not a port", port)
	} else {
		s.address = net.JoinHostPort(env("SAGEBRUSH_BIND_HOST"), strconv.FormatUint(n, 10))
	}
	if text := env("MAX_CONTENT_LENGTH"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > largestBody {
			return s, fmt.Errorf("MAX_CONTENT_LENGTH is %q, not a number of bytes from 1 to %d", text, largestBody)
		}
		s.options.MaxContentLength = n
	}
	s.options.MaxBody = s.options.MaxContentLength
	if text := env("SAGEMAKER_MAX_PAYLOAD_IN_MB"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > largestBody>>20 {
			return s, fmt.Errorf("SAGEMAKER_MAX_PAYLOAD_IN_MB is %q, not a number from 0 to %d", text, largestBody>>20)
		}
		if n == 0 {
			n = largestBody >> 20
		}
		s.options.MaxBody = max(s.options.MaxBody, n<<20)
	}
	return s, nil
}

func (s settings) serve(ctx context.Context, log *slog.Logger) error {
	model, name, err := loadFolder(s.folder)
	if err != nil {
		return err
	}
	s.options.Model, s.options.Log = model, log
	h, err := NewHandler(s.options)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	log.Info("the XGBoost server is ready", "address", ln.Addr().String(), "file", name, "model", model.String(),
		"batch", s.options.Batch, "maxBody", s.options.MaxBody)
	return Serve(ctx, ln, h, log)
}

// loadFolder loads the one model of a folder. As in AWS's container every file
// directly in it is a candidate, except those whose name starts with a dot;
// unlike there, exactly one must be a model, and others do no harm.
func loadFolder(folder string) (*booster.Model, string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, "", fmt.Errorf("reading the model folder: %w", err)
	}
	var model *booster.Model
	var loaded, refused []string
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		m, err := loadFile(path, info.Size())
		if err != nil {
			refused = append(refused, fmt.Sprintf("%s: %v", e.Name(), err))
			continue
		}
		model = m
		loaded = append(loaded, e.Name())
	}
	switch {
	case len(loaded) > 1:
		return nil, "", fmt.Errorf("the model folder %s holds %d models, %s: exactly one is served",
			folder, len(loaded), strings.Join(loaded, ", "))
	case len(loaded) == 1:
		return model, loaded[0], nil
	case len(refused) > 0:
		return nil, "", fmt.Errorf("no file in the model folder %s is a model that can be served: %s",
			folder, strings.Join(refused, "; "))
	}
	return nil, "", fmt.Errorf("the model folder %s holds no file", folder)
}

func loadFile(path string, size int64) (*booster.Model, error) {
	if size > largestModel {
		return nil, errors.New("the file is larger than 2 GiB")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return booster.Load(data)
}
