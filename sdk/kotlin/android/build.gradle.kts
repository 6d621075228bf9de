// SPDX-License-Identifier: Apache-2.0
//
// Never run by this project, which has no Android SDK here. The folder as a library within the build of an app, which names the plugins'
// versions:
//
//     include(":mhealth-chain")
//     project(":mhealth-chain").projectDir = file("/path/to/mhealth-chain/sdk/kotlin/android")
//
// The jar is made by `sdk/build kotlin`; the library of a phone's processor goes into src/main/jniLibs (README.md). What the jar has for the
// machine that made it, an app leaves out: `packaging { resources { excludes += "linux-*/**" } }`.

plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "org.mhealthchain.android"
    compileSdk = 35

    defaultConfig {
        // The store stands on java.nio.file.
        minSdk = 26
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin {
    jvmToolchain(17)
}

dependencies {
    api(files("../out/mhealth-chain.jar"))
    api("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.8.0")
    implementation("net.java.dev.jna:jna:5.13.0@aar")
}
