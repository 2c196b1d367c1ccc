// Swagger UI without inline script. A signed-in browser may try requests out: they carry the header that the API asks for.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  requestInterceptor: (request) => {
    request.headers["X-Requested-With"] = "mlops";
    return request;
  },
});
