/* The pointer inside an External of another add-on. A source of its own, compiled by TinyCC at run time on every machine: bun:ffi hands
 * JavaScript values only to functions that cc() has compiled. */
typedef struct { unsigned long lower, upper; } napi_type_tag;

int napi_check_object_type_tag(void *env, void *value, const napi_type_tag *tag, unsigned char *result);
int napi_get_value_external(void *env, void *value, void **result);

/* NULL where `value` is no External, or one without this tag. */
void *mb_external(void *env, void *value, const napi_type_tag *tag) {
  unsigned char is = 0;
  void *pointer = 0;
  if (napi_check_object_type_tag(env, value, tag, &is) || !is) return 0;
  return napi_get_value_external(env, value, &pointer) ? 0 : pointer;
}
