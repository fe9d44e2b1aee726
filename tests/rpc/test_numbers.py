"""Names, numbers and types of every message, as TorchServe and the standards have them."""

from __future__ import annotations

from unittest import TestCase

from google.protobuf.descriptor import FieldDescriptor

from tests.harness.rpc_messages import type_of

KINDS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}
MESSAGES = {
    "inference.PredictionsRequest": (
        "1 model_name string, 2 model_version string, 3 input map(string, bytes), 4 sequence_id string"
    ),
    "inference.PredictionResponse": "1 prediction bytes, 2 sequence_id string, 3 status Status",
    "inference.TorchServeHealthResponse": "1 health string",
    "rpc.Status": "1 code int32, 2 message string, 3 details Any*",
    "rpc.ErrorInfo": "1 reason string, 2 domain string, 3 metadata map(string, string)",
    "management.ManagementResponse": "1 msg string",
    "management.DescribeModelRequest": "1 model_name string, 2 model_version string, 3 customized bool",
    "management.ListModelsRequest": "1 limit int32, 2 next_page_token int32",
    "management.RegisterModelRequest": (
        "1 batch_size int32, 2 handler string, 3 initial_workers int32, 4 max_batch_delay int32, "
        "5 model_name string, 6 response_timeout int32, 7 runtime string, 8 synchronous bool, 9 url string, "
        "10 s3_sse_kms bool, 11 startup_timeout int32"
    ),
    "management.ScaleWorkerRequest": (
        "1 model_name string, 2 model_version string, 3 max_worker int32, 4 min_worker int32, "
        "5 number_gpu int32, 6 synchronous bool, 7 timeout int32"
    ),
    "management.SetDefaultRequest": "1 model_name string, 2 model_version string",
    "management.UnregisterModelRequest": "1 model_name string, 2 model_version string",
    "oip.ServerLiveRequest": "",
    "oip.ServerLiveResponse": "1 live bool",
    "oip.ServerReadyRequest": "",
    "oip.ServerReadyResponse": "1 ready bool",
    "oip.ModelReadyRequest": "1 name string, 2 version string",
    "oip.ModelReadyResponse": "1 ready bool",
    "oip.ServerMetadataRequest": "",
    "oip.ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string*",
    "oip.ModelMetadataRequest": "1 name string, 2 version string",
    "oip.ModelMetadataResponse": (
        "1 name string, 2 versions string*, 3 platform string, 4 inputs TensorMetadata*, "
        "5 outputs TensorMetadata*"
    ),
    "oip.ModelMetadataResponse.TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
    "oip.ModelInferRequest": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters map(string, InferParameter), "
        "5 inputs InferInputTensor*, 6 outputs InferRequestedOutputTensor*, 7 raw_input_contents bytes*"
    ),
    "oip.ModelInferRequest.InferInputTensor": (
        "1 name string, 2 datatype string, 3 shape int64*, 4 parameters map(string, InferParameter), "
        "5 contents InferTensorContents"
    ),
    "oip.ModelInferRequest.InferRequestedOutputTensor": (
        "1 name string, 2 parameters map(string, InferParameter)"
    ),
    "oip.ModelInferResponse": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters map(string, InferParameter), "
        "5 outputs InferOutputTensor*, 6 raw_output_contents bytes*"
    ),
    "oip.ModelInferResponse.InferOutputTensor": (
        "1 name string, 2 datatype string, 3 shape int64*, 4 parameters map(string, InferParameter), "
        "5 contents InferTensorContents"
    ),
    "oip.ModelStreamInferResponse": "1 error_message string, 2 infer_response ModelInferResponse",
    "oip.InferParameter": (
        "1 bool_param bool, 2 int64_param int64, 3 string_param string, 4 double_param double, "
        "5 uint64_param uint64"
    ),
    "oip.InferTensorContents": (
        "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, 4 uint_contents uint32*, "
        "5 uint64_contents uint64*, 6 fp32_contents float*, 7 fp64_contents double*, 8 bytes_contents bytes*"
    ),
    "health.HealthCheckRequest": "1 service string",
    "health.HealthCheckResponse": "1 status enum",
    "reflection.ServerReflectionRequest": (
        "1 host string, 3 file_by_filename string, 4 file_containing_symbol string, "
        "5 file_containing_extension ExtensionRequest, 6 all_extension_numbers_of_type string, "
        "7 list_services string"
    ),
    "reflection.ServerReflectionResponse": (
        "1 valid_host string, 2 original_request ServerReflectionRequest, "
        "4 file_descriptor_response FileDescriptorResponse, "
        "5 all_extension_numbers_response ExtensionNumberResponse, "
        "6 list_services_response ListServiceResponse, 7 error_response ErrorResponse"
    ),
    "reflection.FileDescriptorResponse": "1 file_descriptor_proto bytes*",
    "reflection.ExtensionNumberResponse": "1 base_type_name string, 2 extension_number int32*",
    "reflection.ExtensionRequest": "1 containing_type string, 2 extension_number int32",
    "reflection.ListServiceResponse": "1 service ServiceResponse*",
    "reflection.ServiceResponse": "1 name string",
    "reflection.ErrorResponse": "1 error_code int32, 2 error_message string",
}
"""A star stands behind what is repeated."""
PRESENCE = {
    "inference.PredictionsRequest": {"sequence_id"},
    "inference.PredictionResponse": {"sequence_id"},
    "management.ScaleWorkerRequest": {"max_worker", "min_worker", "number_gpu", "timeout"},
}
"""Fields that are no messages, and of which nothing can be told from the default."""


def kind_of(field: FieldDescriptor) -> str:
    """A field's type in a word."""
    found = field.message_type
    if found is not None and found.GetOptions().map_entry:
        key, value = found.fields_by_name["key"], found.fields_by_name["value"]
        return f"map({kind_of(key)}, {kind_of(value)})"
    return KINDS[field.type] if found is None else str(found.name)


def is_list(field: FieldDescriptor) -> bool:
    """Whether a field is repeated, and no map."""
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return not is_map and _is_repeated(field)


def _is_repeated(field: FieldDescriptor) -> bool:
    # Newer libraries have a property for it, and no other way.
    repeated = getattr(field, "is_repeated", None)
    return getattr(field, "label", None) == 3 if repeated is None else bool(repeated)


class NumberTests(TestCase):
    """Every message."""

    maxDiff = None

    def test_fields(self) -> None:
        for name, wanted in MESSAGES.items():
            fields = sorted(type_of(name).DESCRIPTOR.fields, key=lambda field: field.number)
            shown = [
                f"{field.number} {field.name} {kind_of(field)}{'*' if is_list(field) else ''}"
                for field in fields
            ]
            with self.subTest(name):
                self.assertEqual(", ".join(shown), wanted)

    def test_presence(self) -> None:
        for name in MESSAGES:
            found = {
                field.name
                for field in type_of(name).DESCRIPTOR.fields
                if field.has_presence and field.message_type is None and not _is_of_a_choice(field)
            }
            with self.subTest(name):
                self.assertEqual(found, PRESENCE.get(name, set()))

    def test_states_of_health(self) -> None:
        states = type_of("health.HealthCheckResponse").DESCRIPTOR.enum_types_by_name["ServingStatus"].values
        self.assertEqual(
            {state.name: state.number for state in states},
            {"UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3},
        )


def _is_of_a_choice(field: FieldDescriptor) -> bool:
    """Whether a field is one of several that exclude each other; an optional field is alone in its own."""
    return field.containing_oneof is not None and len(field.containing_oneof.fields) > 1
