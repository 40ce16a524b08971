package bench

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	restful "github.com/emicklei/go-restful/v3"
	gincors "github.com/gin-contrib/cors"
	"github.com/gin-gonic/gin"
	chicors "github.com/go-chi/cors"
	fiber2 "github.com/gofiber/fiber/v2"
	fiber2cors "github.com/gofiber/fiber/v2/middleware/cors"
	fiber3 "github.com/gofiber/fiber/v3"
	fiber3cors "github.com/gofiber/fiber/v3/middleware/cors"
	gorilla "github.com/gorilla/handlers"
	jub0bscors "github.com/jub0bs/cors"
	echo4 "github.com/labstack/echo/v4"
	echo4middleware "github.com/labstack/echo/v4/middleware"
	echo5 "github.com/labstack/echo/v5"
	echo5middleware "github.com/labstack/echo/v5/middleware"
	rscors "github.com/rs/cors"
	"github.com/valyala/fasthttp"

	"github.com/caddy-cors/caddy-cors/bench/sites"
)

var (
	methods = strings.Split(sites.Methods, ", ")
	headers = strings.Split(sites.Headers, ", ")
)

// A peer serves requests, with CORS middleware or, without a baseline, as the baseline for that.
type peer struct {
	name, baseline string
	open           func(request) exchange
}

// peers are this module, and the CORS middleware in Go that is maintained and much used, each with the baseline that it
// comes on top of: a plain handler, or its framework. All have the same policy, which is one with a list of origins.
//
// They do not do the same. This module guards the response against CORS headers that the handler behind it sets, and
// notes its decisions for logs, metrics and the list of denials; the others set their headers before that handler runs,
// and are done. What each of them sends, or does not, TestCandidates shows. Where a peer answers a request that its
// baseline would have handled, it may add less than nothing. Fiber is built on fasthttp, whose headers are lists in
// memory that is used again, where those of net/http are maps: what it adds compares with its like alone.
func peers(t testing.TB, p sites.Policy) []peer {
	maxAge := time.Duration(sites.MaxAge) * time.Second
	gorillaOptions := []gorilla.CORSOption{
		gorilla.AllowedOrigins(p.Origins), gorilla.AllowedMethods(methods), gorilla.AllowedHeaders(headers),
		gorilla.ExposedHeaders(p.Exposed), gorilla.MaxAge(sites.MaxAge), gorilla.OptionStatusCode(http.StatusNoContent),
	}
	if p.Credentials {
		gorillaOptions = append(gorillaOptions, gorilla.AllowCredentials())
	}
	jub0bs, err := jub0bscors.NewMiddleware(jub0bscors.Config{
		Origins: p.Origins, Methods: methods, RequestHeaders: headers,
		ResponseHeaders: p.Exposed, Credentialed: p.Credentials, MaxAgeInSeconds: sites.MaxAge,
	})
	if err != nil {
		t.Fatal(err)
	}
	return []peer{
		{"net-http", "", netHTTP(hello)},
		{"caddy-cors", "net-http", netHTTP(caddyCORS(t, p))},
		{"rs-cors", "net-http", netHTTP(rscors.New(rscors.Options{
			AllowedOrigins: p.Origins, AllowedMethods: methods, AllowedHeaders: headers,
			ExposedHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		}).Handler(hello))},
		{"jub0bs-cors", "net-http", netHTTP(jub0bs.Wrap(hello))},
		{"go-chi-cors", "net-http", netHTTP(chicors.Handler(chicors.Options{
			AllowedOrigins: p.Origins, AllowedMethods: methods, AllowedHeaders: headers,
			ExposedHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		})(hello))},
		{"gorilla-handlers", "net-http", netHTTP(gorilla.CORS(gorillaOptions...)(hello))},

		{"gin", "", netHTTP(onGin())},
		{"gin-contrib-cors", "gin", netHTTP(onGin(gincors.New(gincors.Config{
			AllowOrigins: p.Origins, AllowMethods: methods, AllowHeaders: headers,
			ExposeHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: maxAge,
		})))},
		{"echo-v4", "", netHTTP(onEcho4())},
		{"echo-v4-cors", "echo-v4", netHTTP(onEcho4(echo4middleware.CORSWithConfig(echo4middleware.CORSConfig{
			AllowOrigins: p.Origins, AllowMethods: methods, AllowHeaders: headers,
			ExposeHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		})))},
		{"echo-v5", "", netHTTP(onEcho5())},
		{"echo-v5-cors", "echo-v5", netHTTP(onEcho5(echo5middleware.CORSWithConfig(echo5middleware.CORSConfig{
			AllowOrigins: p.Origins, AllowMethods: methods, AllowHeaders: headers,
			ExposeHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		})))},
		{"go-restful", "", netHTTP(onRestful())},
		{"go-restful-cors", "go-restful", netHTTP(onRestful(restful.CrossOriginResourceSharing{
			AllowedDomains: p.Origins, AllowedMethods: methods, AllowedHeaders: headers,
			ExposeHeaders: p.Exposed, CookiesAllowed: p.Credentials, MaxAge: sites.MaxAge,
		}.Filter))},
		{"fiber-v2", "", fastHTTP(onFiber2())},
		{"fiber-v2-cors", "fiber-v2", fastHTTP(onFiber2(fiber2cors.New(fiber2cors.Config{
			AllowOrigins: strings.Join(p.Origins, ","), AllowMethods: sites.Methods, AllowHeaders: sites.Headers,
			ExposeHeaders: strings.Join(p.Exposed, ","), AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		})))},
		{"fiber-v3", "", fastHTTP(onFiber3())},
		{"fiber-v3-cors", "fiber-v3", fastHTTP(onFiber3(fiber3cors.New(fiber3cors.Config{
			AllowOrigins: p.Origins, AllowMethods: methods, AllowHeaders: headers,
			ExposeHeaders: p.Exposed, AllowCredentials: p.Credentials, MaxAge: sites.MaxAge,
		})))},
	}
}

func netHTTP(handler http.Handler) func(request) exchange {
	return func(r request) exchange { return overHTTP(handler, r) }
}

func fastHTTP(handler fasthttp.RequestHandler) func(request) exchange {
	return func(r request) exchange { return overFastHTTP(handler, r) }
}

// What the handlers behind all middleware answer.
var body = []byte("hello")

const contentType = "text/plain; charset=utf-8"

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
})

// caddyCORS is this module without Caddy around it, and so without the placeholders and the metrics of a server.
func caddyCORS(t testing.TB, p sites.Policy) http.Handler {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	config, err := json.Marshal(map[string]any{
		"allow_origins": p.Origins, "allow_methods": methods, "allow_headers": headers,
		"expose_headers": p.Exposed, "allow_credentials": p.Credentials,
	})
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.LoadModuleByID("http.handlers.cors", config)
	if err != nil {
		t.Fatal(err)
	}
	handler := module.(caddyhttp.MiddlewareHandler)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		hello(w, r)
		return nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handler.ServeHTTP(w, r, next); err != nil {
			panic(err)
		}
	})
}

func onGin(middleware ...gin.HandlerFunc) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(middleware...)
	engine.Any(ordersURL.Path, func(c *gin.Context) { c.Data(http.StatusOK, contentType, body) })
	return engine
}

func onEcho4(middleware ...echo4.MiddlewareFunc) http.Handler {
	e := echo4.New()
	e.Use(middleware...)
	e.Any(ordersURL.Path, func(c echo4.Context) error { return c.Blob(http.StatusOK, contentType, body) })
	return e
}

func onEcho5(middleware ...echo5.MiddlewareFunc) http.Handler {
	e := echo5.New()
	e.Use(middleware...)
	e.Any(ordersURL.Path, func(c *echo5.Context) error { return c.Blob(http.StatusOK, contentType, body) })
	return e
}

func onRestful(filters ...restful.FilterFunction) http.Handler {
	container := restful.NewContainer()
	for _, filter := range filters {
		container.Filter(filter)
	}
	service := new(restful.WebService)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		service.Route(service.Method(method).Path(ordersURL.Path).To(func(_ *restful.Request, w *restful.Response) {
			hello(w, nil)
		}))
	}
	return container.Add(service)
}

func onFiber2(middleware ...fiber2.Handler) fasthttp.RequestHandler {
	app := fiber2.New()
	for _, handler := range middleware {
		app.Use(handler)
	}
	app.All(ordersURL.Path, func(c *fiber2.Ctx) error { return c.Send(body) })
	return app.Handler()
}

func onFiber3(middleware ...fiber3.Handler) fasthttp.RequestHandler {
	app := fiber3.New()
	for _, handler := range middleware {
		app.Use(handler)
	}
	app.All(ordersURL.Path, func(c fiber3.Ctx) error { return c.Send(body) })
	return app.Handler()
}

// BenchmarkPlain compares CORS middleware without a server around it, and says what each adds to its baseline.
func BenchmarkPlain(b *testing.B) {
	for _, policy := range []sites.Policy{sites.One, sites.Ten} {
		peers := peers(b, policy)
		for _, request := range requests {
			b.Run("policy="+policy.Name+"/request="+request.name, func(b *testing.B) {
				var candidates []candidate
				for _, peer := range peers {
					candidates = append(candidates, candidate{peer.name, peer.baseline, peer.open(request)})
				}
				compare(b, candidates)
			})
		}
	}
}
