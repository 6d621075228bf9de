// SPDX-License-Identifier: Apache-2.0
//
// Never compiled or run by this project: it needs Android's own libraries.

package org.mhealthchain.android

import android.security.keystore.KeyGenParameterSpec
import android.security.keystore.KeyProperties
import android.security.keystore.UserNotAuthenticatedException
import java.security.GeneralSecurityException
import java.security.KeyStore
import javax.crypto.Cipher
import javax.crypto.KeyGenerator
import javax.crypto.SecretKey
import javax.crypto.spec.GCMParameterSpec
import org.mhealthchain.core.KeyFault
import org.mhealthchain.core.KeystoreHost

/** A key that never leaves this phone's secure hardware. It is in no backup and no transfer to another phone. */
class AndroidKeystore(private val alias: String = "mhealth-chain") : KeystoreHost {
    override fun wrap(secret: ByteArray): ByteArray = attempt {
        val cipher = Cipher.getInstance(CIPHER).apply { init(Cipher.ENCRYPT_MODE, key() ?: made()) }
        cipher.iv + cipher.doFinal(secret)
    }

    override fun unwrap(wrapped: ByteArray): ByteArray = attempt {
        val key = key() ?: throw KeyFault.Foreign()
        if (wrapped.size < NONCE) throw KeyFault.Foreign()
        val cipher = Cipher.getInstance(CIPHER)
        cipher.init(Cipher.DECRYPT_MODE, key, GCMParameterSpec(TAG_BITS, wrapped, 0, NONCE))
        cipher.doFinal(wrapped, NONCE, wrapped.size - NONCE)
    }

    private fun key(): SecretKey? = KeyStore.getInstance(STORE).run {
        load(null)
        getKey(alias, null) as SecretKey?
    }

    private fun made(): SecretKey = KeyGenerator.getInstance(KeyProperties.KEY_ALGORITHM_AES, STORE).run {
        val purposes = KeyProperties.PURPOSE_ENCRYPT or KeyProperties.PURPOSE_DECRYPT
        init(
            KeyGenParameterSpec.Builder(alias, purposes)
                .setKeySize(256)
                .setBlockModes(KeyProperties.BLOCK_MODE_GCM)
                .setEncryptionPaddings(KeyProperties.ENCRYPTION_PADDING_NONE)
                .build(),
        )
        generateKey()
    }

    private companion object {
        const val STORE = "AndroidKeyStore"
        const val CIPHER = "AES/GCM/NoPadding"
        const val NONCE = 12
        const val TAG_BITS = 128

        fun <T> attempt(work: () -> T): T = try {
            work()
        } catch (_: UserNotAuthenticatedException) {
            throw KeyFault.Locked()
        } catch (_: javax.crypto.AEADBadTagException) {
            throw KeyFault.Foreign()
        } catch (error: GeneralSecurityException) {
            throw KeyFault.Failed(error.toString())
        }
    }
}
