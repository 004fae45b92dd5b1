// Numbers formed over a workgroup by its subgroups first (a warp of CUDA), then over the subgroups in their order: two barriers in place of
// nine. For devices whose subgroups do arithmetic; as fixed in its order as `total` on one and the same device.

#ifndef __cplusplus
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

FN float subgroup_total(float value) {
    float own = subgroupAdd(value);
    if (gl_SubgroupInvocationID == 0u) {
        shared_[gl_SubgroupID] = own;
    }
    barrier();
    float sum = 0.0f;
    for (uint k = 0u; k < gl_NumSubgroups; k++) {
        sum += shared_[k];
    }
    barrier();
    return sum;
}
