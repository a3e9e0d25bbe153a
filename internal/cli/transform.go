package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/config"
	"github.com/sagebrush-ml/sagebrush/internal/daemon"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// transformFlags are what one job without a server is made of.
type transformFlags struct {
	image, command, modelData, input, output, config string
	manifest                                         bool
	environment                                      []string
	layout                                           *string

	// in is the request; its members are set by flags of their names.
	in     wire.CreateTransformJobInput
	source wire.TransformInput
	sink   wire.TransformOutput
	client wire.ModelClientConfig
	// instances is TransformResources.InstanceCount.
	instances *int32
}

// transform is the command that runs one job in this process.
func (a *app) transform() *cobra.Command {
	f := &transformFlags{}
	cmd := &cobra.Command{
		Use:     "transform --image IMAGE --input PLACE --output PLACE",
		GroupID: "run",
		Short:   "Run one job over your own folders, without a server",
		Long: `Run one batch transform job and end: the same engine as behind CreateTransformJob, with flags
that have the names of the API's members. Places are local folders or files, or s3:// URIs with
the usual AWS environment; a result appears only when it is whole.

Without a container runtime an image is a local command: sagebrush/xgboost:latest is built in,
others come from --command or from the images of --config. The command is called with the
argument "serve" and must listen on the port in SAGEMAKER_BIND_TO_PORT.`,
		Example: `  sagebrush transform --image sagebrush/xgboost:latest --model-data model.tar.gz \
    --input data/ --output scored/ --content-type text/csv --split-type Line --assemble-with Line
  sagebrush transform --command "python3 serve.py" --input rows.jsonl --output out/ \
    --split-type Line --batch-strategy SingleRecord --environment THREADS=2`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runTransform(cmd.Context(), f) },
	}
	f.add(cmd)
	return cmd
}

// add makes the flags.
func (f *transformFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.image, "image", "", "image of the model's container")
	flags.StringVar(&f.command, "command", "", `local command that runs the image, such as "python3 serve.py"`)
	flags.StringVar(&f.modelData, "model-data", "", "the model's artefacts, a .tar.gz file or s3:// URI")
	flags.StringVar(&f.input, "input", "", "folder, file or s3:// prefix to transform")
	flags.StringVar(&f.output, "output", "", "folder or s3:// prefix for the results, each named as its input with .out")
	flags.BoolVar(&f.manifest, "manifest", false, "the input is a ManifestFile, whose prefix is an s3:// URI")
	flags.StringArrayVar(&f.environment, "environment", nil, "variable NAME=VALUE for the container (repeatable)")
	configFlag(cmd, &f.config)

	choiceFlag(cmd, &f.source.SplitType, "split-type", "what a record is", "None", "Line", "RecordIO", "TFRecord")
	choiceFlag(cmd, &f.in.BatchStrategy, "batch-strategy", "records in a request", "MultiRecord", "SingleRecord")
	choiceFlag(cmd, &f.source.CompressionType, "compression-type", "how the input is compressed", "None", "Gzip")
	choiceFlag(cmd, &f.sink.AssembleWith, "assemble-with", "what joins the answers", "None", "Line", "RecordIO")
	choiceFlag(cmd, &f.layout, "output-layout", "one object for each input, or a series of parts", "single", "parts")
	flags.Var(&textValue{&f.source.ContentType}, "content-type", "type of the requests, such as text/csv")
	flags.Var(&textValue{&f.sink.Accept}, "accept", "type of the answers to ask for")
	flags.Var(&intValue{&f.in.MaxPayloadInMB}, "max-payload-in-mb", "largest request in units of 2^20 bytes (default 6); 0 streams")
	flags.Var(&intValue{&f.in.MaxConcurrentTransforms}, "max-concurrent-transforms", "requests at once to an instance (default: the container says)")
	flags.Var(&intValue{&f.instances}, "instance-count", "containers that share the input (default 1)")
	flags.Var(&intValue{&f.client.InvocationsTimeoutInSeconds}, "invocations-timeout-in-seconds", "longest wait for an answer (default 600)")
	flags.Var(&intValue{&f.client.InvocationsMaxRetries}, "invocations-max-retries", "repetitions of a request that failed (default 3)")
}

// check finds what is wrong with the flags before anything is started.
func (f *transformFlags) check() error {
	for _, needed := range []struct{ name, value string }{{"--input", f.input}, {"--output", f.output}} {
		if needed.value == "" {
			return usage("transform needs %s", needed.name).hint("sagebrush transform --help")
		}
	}
	if f.image == "" && f.command == "" {
		return usage("transform needs --image, or --command").hint("--image sagebrush/xgboost:latest is built in").
			hint(`--command "python3 serve.py" runs a server of your own`)
	}
	return nil
}

// commandImage is the image of a command that was given without one.
const commandImage = "local/command:latest"

// settings makes the configuration of the server that runs the job.
func (f *transformFlags) settings(a *app) (config.Config, error) {
	level := "error" // what a user can act on is in the job's FailureReason
	if v := a.getenv(config.Setting{Name: "log-level"}.Env()); v != "" {
		level = v
	}
	cfg, err := a.load(f.config, map[string]any{"listen": "127.0.0.1:0", "ephemeral": true, "auth": "keys", "log-level": level})
	if err != nil {
		return cfg, err
	}
	if f.instances != nil {
		cfg.MaxInstances = max(cfg.MaxInstances, int(*f.instances))
	}
	if f.command == "" {
		return cfg, nil
	}
	command, err := words(f.command)
	if err != nil || len(command) == 0 {
		return cfg, usage("--command %q cannot be read as a command line", f.command).because(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return cfg, err
	}
	if f.image == "" {
		f.image = commandImage
	}
	cfg.Images = append([]config.Image{{Image: f.image, Command: command, Dir: dir}}, cfg.Images...)
	return cfg, nil
}

// request completes the request for the job.
func (f *transformFlags) request(job string, p *places) (*wire.CreateTransformJobInput, error) {
	kind := "S3Prefix"
	if f.manifest {
		kind = "ManifestFile"
	}
	in := f.in
	in.TransformJobName, in.ModelName = &job, &job
	in.TransformInput, in.TransformOutput = &f.source, &f.sink
	in.TransformInput.DataSource = &wire.TransformDataSource{S3DataSource: &wire.TransformS3DataSource{S3DataType: &kind, S3Uri: &p.input}}
	in.TransformOutput.S3OutputPath = &p.output
	in.TransformResources = &wire.TransformResources{InstanceType: ptr(instanceType), InstanceCount: ptr(int32(1))}
	if f.instances != nil {
		in.TransformResources.InstanceCount = f.instances
	}
	if f.client != (wire.ModelClientConfig{}) {
		in.ModelClientConfig = &f.client
	}
	if f.layout != nil {
		in.Tags = []wire.Tag{{Key: ptr("sagebrush:output-layout"), Value: f.layout}}
	}
	for _, pair := range f.environment {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usage("--environment is %q, and must be NAME=VALUE", pair)
		}
		if in.Environment == nil {
			in.Environment = map[string]string{}
		}
		in.Environment[name] = value
	}
	return &in, nil
}

// instanceType is what the API wants to know and a machine of one's own does not have.
const instanceType = "ml.m5.large"

func ptr[T any](v T) *T { return &v }

// runTransform runs the job.
func (a *app) runTransform(ctx context.Context, f *transformFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	cfg, err := f.settings(a)
	if err != nil {
		return err
	}
	p, err := locate(f.input, f.modelData, f.output)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil || a.code != exitOK {
			p.unmake()
		}
	}()
	job := "transform-" + strings.ToLower(rand.Text()[:8])
	in, err := f.request(job, p)
	if err != nil {
		return err
	}
	store, closeStore, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	s, err := a.start(ctx, daemon.Options{Config: cfg, Objects: store, AnyRole: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	end, err := a.runJob(s, f.image, p.model, in)
	if err != nil {
		return translated(err, p)
	}
	return a.report(s, end, p, f.output)
}

// translated makes a refusal readable for somebody who knows no buckets.
func translated(err error, p *places) error {
	r := (*refusal)(nil)
	if !errors.As(err, &r) {
		return err
	}
	return failed(exitFailed, "%s", p.translate(r.message)).because(err)
}

// runJob creates the model and the job and watches the job to its end.
func (a *app) runJob(s *session, image, modelData string, in *wire.CreateTransformJobInput) (api.JobProgress, error) {
	container := &wire.ContainerDefinition{Image: &image}
	if modelData != "" {
		container.ModelDataUrl = &modelData
	}
	role := "arn:aws:iam::000000000000:role/sagebrush"
	if err := s.call(s.ctx, "CreateModel", &wire.CreateModelInput{ModelName: in.ModelName, PrimaryContainer: container, ExecutionRoleArn: &role}, nil); err != nil {
		return api.JobProgress{}, err
	}
	if err := s.call(s.ctx, "CreateTransformJob", in, nil); err != nil {
		return api.JobProgress{}, err
	}
	return a.watch(s.ctx, s.client, *in.TransformJobName, drawInterval)
}

// report prints how the job ended.
func (a *app) report(s *session, end api.JobProgress, p *places, output string) error {
	a.code = outcome(end.Status)
	end.FailureReason = p.translate(end.FailureReason)
	if a.json {
		if err := a.printJSON(struct {
			api.JobProgress
			Output string `json:"output"`
		}{end, output}); err != nil {
			return err
		}
	}
	if a.code != exitOK {
		return a.explainJob(s.ctx, s.client, end, p.translate)
	}
	if !a.json {
		a.out.linef("%s after %s: %s", a.out.status(end.Status), span(elapsed(end, time.Now())), done(end))
		a.out.linef("results  %s", output)
	}
	return nil
}

// explainJob makes the error for a job that did not complete, below the last
// lines of its data-logs or, where there are none, of its containers.
func (a *app) explainJob(ctx context.Context, c *client, end api.JobProgress, translate func(string) string) error {
	var last []api.LogLine
	err := c.logs(ctx, jobPath(end.Name), url.Values{"tail": {"500"}}, func(l api.LogLine) error {
		last = append(last, l)
		return nil
	})
	if err != nil {
		return err
	}
	reason := end.FailureReason
	if reason == "" {
		reason = "no reason was given"
	}
	for _, line := range lastLines(last, reason, 12) {
		a.err.line(translate(line))
	}
	return failed(outcome(end.Status), "the job ended as %s: %s", end.Status, reason)
}

// lastLines gives the last n lines that say more than the reason of a job's end:
// those of the data-logs or, where these have none, those of the containers.
func lastLines(lines []api.LogLine, reason string, n int) []string {
	var data, printed []string
	for _, l := range lines {
		_, text, ok := strings.Cut(l.Text, "[sagemaker logs]: ")
		switch {
		case !ok:
			printed = append(printed, l.Stream+": "+l.Text)
		case !strings.Contains(reason, text) && !strings.HasPrefix(text, "MaxConcurrentTransforms="):
			data = append(data, text)
		}
	}
	if len(data) == 0 {
		data = printed
	}
	return data[max(0, len(data)-n):]
}
